"""TorchScript archives as programs: against torch.jit, on other sizes than they were made with; and what is refused."""

import io
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="makes archives with PyTorch, which is not installed")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import ArgumentError, FormatError, UnsupportedError  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
# Sums of some ten float32 products in another order, through a few layers of gates.
CLOSE = 2e-6


def scripted(tmp_path, module, name="m.pt"):
    torch.manual_seed(3)
    made = torch.jit.script(module.eval())
    made.save(tmp_path / name)
    return made, tmp_path / name


def agrees(program, model, *arrays):
    with torch.no_grad():
        wanted = program(*(torch.from_numpy(array) for array in arrays))
    wanted = list(wanted) if isinstance(wanted, tuple) else [wanted]
    given = model.predict(dict(zip(model.inputs, arrays, strict=True)))
    given = list(given.values()) if isinstance(given, dict) else [given]
    assert len(given) == len(wanted)
    for ours, theirs in zip(given, wanted):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=CLOSE)


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Chooses(nn.Module):
    """Settings, None, ranks and constants decide; lists, dicts, loops and functions on the way."""

    kinds: list[str]

    def __init__(self):
        super().__init__()
        self.rnns = nn.ModuleList([nn.GRU(4, 6, batch_first=True), nn.GRU(6, 6, batch_first=True)])
        self.fc = nn.Linear(12, 3)
        self.kinds = ["last", "mean"]
        self.scale = 0.5

    def pooled(self, y, kind: str):
        if kind == "last":
            return y[:, -1]
        return y.sum(1) / y.size(1)

    def forward(self, x, bias: torch.Tensor | None = None):
        made: dict[str, torch.Tensor] = {}
        for rnn in self.rnns:
            x, _ = rnn(x)
        for kind in self.kinds:
            made[kind] = self.pooled(x, kind)
        parts: list[torch.Tensor] = []
        for kind in self.kinds:
            parts.append(made[kind] * self.scale)
        y = self.fc(torch.cat(parts, dim=-1))
        if bias is not None:
            y = y + bias
        for at in range(1, 3):
            y = y + at * 0.25
        return y, len(parts) * y


def test_what_is_constant_decides(tmp_path):
    program, path = scripted(tmp_path, Chooses())
    model = le.convert(path, spec={"shapes": {"x": ["batch", "time", 4]}})
    assert model.inputs["x"].shape == ("batch", "time", 4)
    agrees(program, model, floats(3, 7, 4))
    agrees(program, model, floats(1, 2, 4))
    model = le.convert(path, spec={"shapes": {"x": ["batch", "time", 4], "bias": [3]}})
    agrees(program, model, floats(2, 5, 4), floats(3, seed=1))


class Policy(nn.Module):
    """As robots have them: the state lies in buffers, which each call changes."""

    def __init__(self):
        super().__init__()
        self.rnn, self.actor = nn.LSTM(5, 6), nn.Linear(6, 2)
        self.register_buffer("hidden_state", torch.zeros(1, 1, 6))
        self.register_buffer("cell_state", torch.zeros(1, 1, 6))

    def forward(self, x):
        out, (h, c) = self.rnn(x.unsqueeze(0), (self.hidden_state, self.cell_state))
        self.hidden_state[:] = h
        self.cell_state = c
        return self.actor(out.squeeze(0))


def test_buffers_that_calls_change_are_states(tmp_path):
    program, path = scripted(tmp_path, Policy())
    model = le.convert(path, spec={"shapes": {"x": [1, 5]}})
    assert [*model.inputs] == ["x", "hidden_state", "cell_state"]
    assert [*model.outputs] == ["output", "hidden_state_out", "cell_state_out"]
    states = {"hidden_state": np.zeros((1, 1, 6), np.float32), "cell_state": np.zeros((1, 1, 6), np.float32)}
    for step in range(4):
        x = floats(1, 5, seed=step)
        made = model.predict({"x": x, **states})
        states = {name: made[f"{name}_out"] for name in states}
        with torch.no_grad():
            np.testing.assert_allclose(made["output"], program(torch.from_numpy(x)).numpy(), rtol=0, atol=CLOSE)


def test_a_state_that_begins_with_numbers_is_refused(tmp_path):
    module = Policy()
    module.hidden_state.fill_(0.5)
    _, path = scripted(tmp_path, module)
    with pytest.raises(UnsupportedError, match="'hidden_state', which calls change, begins with other numbers"):
        le.convert(path, spec={"shapes": {"x": [1, 5]}})


class Sizes(nn.Module):
    def forward(self, x, y):
        if x.size(1) != y.size(1):
            raise ValueError("as many steps")
        if x.dim() != 3:
            raise ValueError("three axes")
        rows, steps = x.size(0), x.size(1)
        return (x + y).reshape(rows * steps, -1).reshape(rows, steps // 1, x.size(2) * 1) * steps


def test_sizes_stay_open_and_what_would_raise_is_refused(tmp_path):
    program, path = scripted(tmp_path, Sizes())
    model = le.convert(path, spec={"shapes": {"x": ["batch", "a", 4], "y": ["batch", "b", 4]}})
    agrees(program, model, floats(3, 5, 4), floats(3, 5, 4, seed=1))
    agrees(program, model, floats(1, 2, 4), floats(1, 2, 4, seed=1))
    with pytest.raises(le.LstmEngineError):
        model.predict({"x": floats(3, 5, 4), "y": floats(3, 1, 4)})         # broadcast, it would give numbers
    with pytest.raises(UnsupportedError, match="it raises an error"):
        le.convert(path, spec={"shapes": {"x": ["batch", 5, 4], "y": ["batch", 6, 4]}})


class Unused(nn.Module):
    def forward(self, x):
        torch.matrix_exp(x)
        return x.relu()


class Strange(nn.Module):
    def forward(self, x):
        return torch.matrix_exp(x).relu()


def test_an_operator_that_is_not_supported_is_named_where_it_is_used(tmp_path):
    program, path = scripted(tmp_path, Unused())
    agrees(program, le.convert(path, spec={"shapes": {"x": [3, 3]}}), floats(3, 3))
    _, path = scripted(tmp_path, Strange())
    with pytest.raises(UnsupportedError, match="Strange.forward: torch.linalg_matrix_exp.* is not supported"):
        le.convert(path, spec={"shapes": {"x": [3, 3]}})


class OnValues(nn.Module):
    def forward(self, x):
        if bool(x.sum() > 0):
            return x
        return -x


class OverSteps(nn.Module):
    def forward(self, x):
        y = x[:, 0]
        for t in range(x.size(1)):
            y = y * 0.5 + x[:, t]
        return y


class Keeps(nn.Module):
    seen: list[int]

    def __init__(self):
        super().__init__()
        self.seen = [1]

    def forward(self, x):
        self.seen.append(2)
        return x * len(self.seen)


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls = self.calls + 1
        return x * self.calls


@pytest.mark.parametrize("module, message", [
    (OnValues(), "depends on the numbers|bool\\(\\) of a tensor"), (OverSteps(), "as many turns as a size of the"),
    (Keeps(), "it changes a list or dict that it keeps"), (Counts(), "changes its own attribute 'calls'")])
def test_what_a_program_as_data_cannot_say_is_refused(tmp_path, module, message):
    _, path = scripted(tmp_path, module)
    with pytest.raises(UnsupportedError, match=message):
        le.convert(path, spec={"shapes": {"x": ["batch", "time", 4]}})


def test_a_loop_over_steps_runs_where_their_number_is_given(tmp_path):
    program, path = scripted(tmp_path, OverSteps())
    agrees(program, le.convert(path, spec={"shapes": {"x": ["batch", 6, 4]}}), floats(3, 6, 4))


class Takes(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

    def forward(self, ids, state: tuple[torch.Tensor, torch.Tensor], rate: int, factor: float = 2.0):
        if rate not in (8000, 16000):
            raise ValueError("rate")
        return self.inner(ids) * factor + state[0] - state[1] * rate


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, ids):
        return self.table(ids).mean(1)


def test_inputs_of_every_kind(tmp_path):
    program, path = scripted(tmp_path, Takes())
    shapes = {"ids": ["batch", "time"], "state_0": ["batch", 4], "state_1": ["batch", 4]}
    spec = {"shapes": shapes, "dtypes": {"ids": "int64"}, "fixed": {"rate": 8000, "factor": 3}}
    ids, h, c = np.arange(6).reshape(2, 3), floats(2, 4), floats(2, 4, seed=1) / 8000
    with torch.no_grad():
        wanted = program(torch.from_numpy(ids), (torch.from_numpy(h), torch.from_numpy(c)), 8000, 3.0).numpy()
    given = le.convert(path, spec=spec).predict({"ids": ids, "state_0": h, "state_1": c})
    np.testing.assert_allclose(given, wanted, rtol=0, atol=CLOSE)
    with pytest.raises(UnsupportedError, match="it raises an error"):
        le.convert(path, spec={**spec, "fixed": {"rate": 44100}})
    with pytest.raises(ArgumentError, match=r"'rate' is no tensor; give it a value: spec=\{'fixed'"):
        le.convert(path, spec={**spec, "fixed": {}})
    with pytest.raises(ArgumentError, match="say them, with a name for each open size"):
        le.convert(path, spec={"shapes": {"ids": ["batch", "time"]}, "fixed": {"rate": 8000}})
    with pytest.raises(ArgumentError, match="spec names 'words'; the inputs are ids, state, rate, factor"):
        le.convert(path, spec={"shapes": {**shapes, "words": [1]}, "fixed": {"rate": 8000}})
    with pytest.raises(UnsupportedError, match=r"does not say the shapes.*'state_1': \['batch', 'time', 'features'\]"):
        le.convert(path)
    inner = le.convert(path, spec={"method": "inner.forward", "shapes": {"ids": ["batch", 3]},
                                   "dtypes": {"ids": "int64"}})
    agrees(program.inner, inner, ids)


# Archives with other code than torch wrote.

def rewritten(tmp_path, module, old, new, version=None):
    _, path = scripted(tmp_path, module)
    made = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(".py") and old.encode() in data:
                data = data.replace(old.encode(), new.encode())
            if version is not None and name.endswith("/version"):
                data = version
            target.writestr(name, data)
    path.write_bytes(made.getvalue())
    return path


class Whole(nn.Module):
    def forward(self, x):
        return torch.div(x, 2)


def test_an_operator_that_meant_something_else_is_refused(tmp_path):
    path = rewritten(tmp_path, Whole(), "nothing", "nothing", b"3\n")
    with pytest.raises(UnsupportedError, match="torch.div of whole numbers meant something else in version 3"):
        le.convert(path, spec={"shapes": {"x": [2, 3]}, "dtypes": {"x": "int64"}})
    model = le.convert(path, spec={"shapes": {"x": [2, 3]}})
    np.testing.assert_array_equal(model.predict(np.ones((2, 3), np.float32)), np.full((2, 3), 0.5, np.float32))


@pytest.mark.parametrize("new, message", [
    ("return torch.div(x, 2) + 1", "is not of its language"), ("return import_os(x)", "is not supported"),
    ("return " + "(" * 200 + "x" + ")" * 200, "nested too deeply"), ("return x." + ".".join("a" * 200), "nested too"),
    ("return torch.div(x, 2", "begins no expression|expected"), ("return lambda", "has no value|is called|no tensor"),
    ("return __import__", "no tensor"), ("return torch.div(x, y=2)", "is not supported"),
    ("a = 3\n    for i in range(60):\n      a = torch.mul(a, a)\n    return x", "beyond 64 bits"),
    ("a = \"ab\"\n    for i in range(60):\n      a = torch.add(a, a)\n    return x", "a text of more than"),
    ("a = [1]\n    for i in range(60):\n      a = torch.add(a, a)\n    return x", "list of more|400000 steps"),
    ("a = [x]\n    for i in range(60):\n      a = [a, a]\n    return torch.cat(a)", "more than 400000 steps"),
    ("for i in range(9999):\n      for j in range(9999):\n        a = 1\n    return x", "more than 400000 steps"),
    ("a = torch.lt(torch.size(x, 0), 9)\n    for i in range(60):\n      a = torch.__and__(a, a)\n    if "
     "torch.__not__(a):\n      ops.prim.RaiseException(\"\")\n    else:\n      pass\n    return x", "than 100 comp"),
    ("a = {0: 1}\n    for i in range(9999):\n      torch._set_item(a, i, 1)\n    for i in range(9999):\n"
     "      b = torch.keys(a)\n    return x", "more than 400000 steps"),
    ("a = [1]\n    for i in range(9999):\n      torch.append(a, i)\n    for i in range(9999):\n"
     "      b = torch.slice(a)\n    return x", "more than 400000 steps"),
    ("while True:\n      a = 1\n    return x", "turns|steps"), ("return (self).forward(x, )", "deep|nested")])
def test_code_that_torch_did_not_write(tmp_path, new, message):
    path = rewritten(tmp_path, Whole(), "return torch.div(x, 2)", new)
    with pytest.raises((UnsupportedError, FormatError), match=message):
        le.convert(path, spec={"shapes": {"x": ["batch", 3]}})


class Remade(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(3))

    @torch.jit.export
    def __getstate__(self):
        return {"scale": self.scale * 5}, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[dict[str, torch.Tensor], bool]):
        self.scale = state[0]["scale"] * 2
        self.training = state[1]

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize("spec", [{"shapes": {"x": [2, 3]}}, None, {
    "inputs": [{"name": "x", "shape": ["batch", "time", 3]}], "nodes": [], "outputs": ["x"]}])
def test_tensors_that_the_code_makes_anew_are_refused(tmp_path, spec):
    """By every reader: what torch computes with is 10 times what stands in the file."""
    program, path = scripted(tmp_path, Remade())
    assert torch.jit.load(str(path))(torch.ones(2, 3))[0, 0] == 10
    with pytest.raises(UnsupportedError, match="tensors anew when it is loaded"):
        le.convert(path, spec=spec)


class TakesList(nn.Module):
    def forward(self, parts: list[torch.Tensor]):
        return torch.cat(parts)


def test_a_list_of_tensors_as_an_input_is_refused(tmp_path):
    _, path = scripted(tmp_path, TakesList())
    with pytest.raises(UnsupportedError, match="'parts' is a list or dict; supported: tensors"):
        le.convert(path, spec={"shapes": {}})


def test_a_version_that_is_not_known_is_refused(tmp_path):
    path = rewritten(tmp_path, Whole(), "nothing", "nothing", b"11")
    with pytest.raises(UnsupportedError, match="of version 11, .*supported: up to 10"):
        le.convert(path, spec={"shapes": {"x": [2, 3]}})


def test_hooks_are_refused(tmp_path):
    path = rewritten(tmp_path, Whole(), "__buffers__ = []", "__buffers__ = []\n  __forward_hooks__ = [\"f\", ]")
    with pytest.raises(UnsupportedError, match="__forward_hooks__"):
        le.convert(path, spec={"shapes": {"x": [2, 3]}})


def test_the_signatures_are_those_of_torch():
    """operators.txt is what tools/make_torch_schemas.py makes of the torch that is here, for the operators it has."""
    import sys
    from importlib import resources
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    try:
        import make_torch_schemas
    finally:
        sys.path.pop(0)
    text = resources.files("lstm_engine.importers.torch.script").joinpath("operators.txt").read_text(encoding="utf-8")
    held = {line.partition("(")[0]: line for line in text.splitlines()}
    made = {line.partition("(")[0]: line for line in make_torch_schemas.lines()}
    assert held.keys() >= made.keys() and len(made) > 500
    assert {key: held[key] for key in made} == made
