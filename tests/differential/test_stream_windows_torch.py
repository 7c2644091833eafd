"""Streams of temporal convolutional networks as torch has them, live and through `.pt2` files, against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamed import cuts, in_pieces, joined  # noqa: E402

import lstm_engine as le  # noqa: E402

nn, functional = torch.nn, torch.nn.functional

BATCH, CHANNELS, STEPS = 2, 4, 14
# float32 on both sides: sums of some dozen products of numbers about 1, through up to six layers.
TOLERANCE = 5e-6


class Chomp(nn.Module):
    """Cuts off what padding on both ends makes behind the last step."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Any) -> Any:
        return x[:, :, :-self.size].contiguous()


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        size, norm = (kernel - 1) * dilation, nn.utils.parametrizations.weight_norm
        self.net = nn.Sequential(
            norm(nn.Conv1d(inputs, outputs, kernel, padding=size, dilation=dilation)), Chomp(size), nn.ReLU(),
            nn.Dropout(0.1), nn.Conv1d(outputs, outputs, kernel, padding=size, dilation=dilation), Chomp(size),
            nn.ReLU())
        self.beside = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Any) -> Any:
        return torch.relu(self.net(x) + self.beside(x))


class Blocks(nn.Module):
    def __init__(self, last: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(CHANNELS, 6, 3, 1), Block(6, 6, 3, 2), Block(6, 6, 2, 4))
        self.head, self.last = nn.Linear(6, 3), last

    def forward(self, x: Any) -> Any:
        y = self.blocks(x).transpose(1, 2)
        return self.head(y[:, -1] if self.last else y)


class Gated(nn.Module):
    """Padded in front by F.pad, a gate, a way past, then an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.gate = (nn.Conv1d(CHANNELS, CHANNELS, 2, dilation=2) for _ in range(2))
        self.lstm = nn.LSTM(CHANNELS, 5, batch_first=True)

    def forward(self, x: Any) -> Any:
        y = functional.pad(x, (2, 0))
        y = torch.tanh(self.values(y)) * torch.sigmoid(self.gate(y)) + x
        return self.lstm(y.transpose(1, 2))[0]


class Behind(nn.Module):
    """Convolutions behind a recurrent layer, batch normalisation between, a pool last."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, 6, batch_first=True)
        self.net = nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(6, 5, 3), nn.BatchNorm1d(5), nn.GELU(),
                                 nn.ConstantPad1d((2, 0), 0.5), nn.Conv1d(5, 5, 3, groups=5),
                                 nn.ConstantPad1d((1, 0), 0.0), nn.MaxPool1d(2, stride=1))

    def forward(self, x: Any) -> Any:
        return self.net(self.gru(x.transpose(1, 2))[0].transpose(1, 2)).transpose(1, 2)


MODULES = {"blocks": lambda: Blocks(False), "the last of blocks": lambda: Blocks(True), "gated": Gated,
           "behind": Behind}


def check(ours: le.Model, x: np.ndarray, wanted: np.ndarray) -> None:
    for sizes in cuts(np.random.default_rng(3), STEPS):
        parts, = in_pieces(ours, x, sizes, axis=2).values()
        made = joined(parts, 1 if wanted.ndim == 3 else parts[0].ndim - 1)
        if wanted.ndim == 2:
            made = made[..., -1]
        np.testing.assert_allclose(made, wanted, rtol=0, atol=TOLERANCE, err_msg=str(sizes))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_pieces_are_the_whole(name: str, tmp_path: Path) -> None:
    torch.manual_seed(len(name))
    module = MODULES[name]().eval()
    x = torch.randn(BATCH, CHANNELS, STEPS)
    with torch.no_grad():
        wanted = module(x).numpy()
    sizes = torch.export.Dim.AUTO
    program = torch.export.export(module, (x,), dynamic_shapes=({0: sizes, 2: sizes},))
    torch.export.save(program, tmp_path / "module.pt2")
    live = le.convert(module, example_inputs=(x,))
    for ours in (live, le.convert(tmp_path / "module.pt2")):
        check(ours, x.numpy(), wanted)


class Unpadded(nn.Module):
    """A program of it holds only for so many steps or more, which it looks at in every run."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(CHANNELS, CHANNELS, 3), nn.Conv1d(CHANNELS, CHANNELS, 2)

    def forward(self, x: Any) -> Any:
        return self.second(torch.relu(self.first(x) + x[:, :, 2:])).transpose(1, 2)


class Divided(Unpadded):
    """By the number of all steps."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) / x.shape[2]


@pytest.mark.filterwarnings("ignore")
def test_what_a_program_asks_of_the_number_of_steps() -> None:
    module, x = Unpadded().eval(), torch.randn(BATCH, CHANNELS, STEPS)
    with torch.no_grad():
        check(le.convert(module, example_inputs=(x,)), x.numpy(), module(x).numpy())
    with pytest.raises(le.UnsupportedError, match="works with the number of steps of the whole sequence"):
        le.convert(Divided().eval(), example_inputs=(x,)).stream(BATCH)
