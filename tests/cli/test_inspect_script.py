"""lstm-engine inspect --spec of a TorchScript archive: its inputs drafted, and what is drafted converts it."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch", reason="makes archives with PyTorch, which is not installed")

import lstm_engine as le  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.lstm = nn.Embedding(10, 4), nn.LSTM(4, 5, 2, bidirectional=True)
        self.cell, self.conv, self.fc = nn.GRUCell(7, 6), nn.Conv1d(3, 2, 3), nn.Linear(10, 3)

    def forward(self, ids, x, h, z, state: tuple[torch.Tensor, torch.Tensor], lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.table(ids), lengths, batch_first=True, enforce_sorted=False)
        y = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]
        return self.fc(y), self.cell(x, h), self.conv(z.transpose(1, 2)), self.lstm(self.table(ids.t()), state)[0]


SHAPES = {"ids": ["batch", "time"], "x": ["batch", 7], "h": ["batch", 6], "z": ["batch", "time", 3],
          "state_0": [4, "batch", 5], "state_1": [4, "batch", 5], "lengths": ["batch"]}


def saved(path, module, given=None):
    made = torch.jit.script(module.eval()) if given is None else torch.jit.trace(module.eval(), given)
    made.save(path)
    return path


def proposed(cli, path):
    ended = cli("inspect", path, "--spec")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.parametrize("traced", [True, False])
def test_shapes_as_the_layers_have_them(cli, tmp_path, traced):
    state = torch.zeros(4, 2, 5), torch.zeros(4, 2, 5)
    given = (torch.ones(2, 6, dtype=torch.int64), torch.zeros(2, 7), torch.zeros(2, 6), torch.zeros(2, 6, 3), state,
             torch.tensor([6, 4]))
    path = saved(tmp_path / "m.pt", Everything(), given if traced else None)
    spec = proposed(cli, path)
    wanted = dict(SHAPES)
    if traced:          # torch writes a GRUCell's products; a matrix multiplies tensors of any number of axes
        wanted |= {name: spec["shapes"][name] for name in ("x", "h") if spec["shapes"][name][-1] == SHAPES[name][-1]}
    assert spec["shapes"] == wanted and spec["dtypes"] == {"ids": "int64", "lengths": "int64"}
    assert spec["notes"][0].startswith("a draft: shapes with which the program can be written")
    assert list(le.convert(path, spec=spec).inputs) == list(spec["shapes"])
    with pytest.raises(le.UnsupportedError, match=r"'lengths': \['batch'\]"):
        le.convert(path)


class Settled(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x, rate: int, gate, bias: torch.Tensor | None = None):
        y = self.fc(x) * gate if rate == 16000 else x
        return y if bias is None else y + bias


def test_what_is_not_known_is_said(cli, tmp_path):
    """Numbers that are no tensors, inputs that no weights speak of, and those that may be left out."""
    path = saved(tmp_path / "m.pt", Settled())
    spec = proposed(cli, path)
    assert spec["shapes"]["x"] == ["batch", "time", 5] and spec["fixed"] == {"rate": None}
    said = " ".join(spec["notes"])
    assert "'rate' is an int: put its value in the place of null" in said and "left out are bias" in said
    assert "no weights say the shapes of gate" in said
    with pytest.raises(le.ArgumentError, match="'rate' is null, where the program takes int"):
        le.convert(path, spec=spec)
    assert le.convert(path, spec=spec | {"fixed": {"rate": 16000}}).inputs.keys() == {"x", "gate"}


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(x) if bool(x.sum() > 0) else x


def test_a_program_that_is_refused_is_still_drafted(cli, tmp_path):
    spec = proposed(cli, saved(tmp_path / "m.pt", Branches()))
    assert spec["notes"][0].startswith("a draft, to be corrected: ")
    assert "whose numbers are not known" in spec["notes"][0]


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    @torch.jit.export
    def encode(self, x):
        return self.fc(x)


def test_a_method_that_is_not_forward(cli, tmp_path):
    path = saved(tmp_path / "m.pt", Parts())
    spec = proposed(cli, path)
    assert spec["method"] == "encode"
    assert list(le.convert(path, spec=spec).inputs) == ["x"]
