"""Writes in place through views, views of views and copies, live and by `.pt2` files, against torch: its numbers, or a
refusal that names the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_writes import Writes, program  # noqa: E402

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import UnsupportedError  # noqa: E402

SIZES = [(2, 5), (3, 6), (1, 7)]        # rows and steps; the example's first
CLOSE = {"rtol": 2e-5, "atol": 2e-6}    # float32: sigmoid, running sums of 20 numbers, in another order
SEEDS = range(60)
MOST_REFUSED = 20                       # of them, so that refusing all is no way out


def numbers(rows: int, steps: int) -> torch.Tensor:
    return torch.randn(rows, steps, 4, generator=torch.Generator().manual_seed(10 * rows + steps))


def filed(module: torch.nn.Module, path: Any) -> le.Model:
    """The model of the file that torch writes, for the example's sizes alone."""
    with torch.no_grad():
        torch.export.save(torch.export.export(module, (numbers(*SIZES[0]),)), path)
    return le.convert(path)


def same(model: le.Model, module: torch.nn.Module, sizes: tuple[int, int]) -> None:
    wanted = module(numbers(*sizes))
    made = model.predict(numbers(*sizes).numpy())
    made = list(made.values()) if isinstance(made, dict) else [made]
    assert len(made) == len(wanted)
    for ours, theirs in zip(made, wanted):
        assert ours.dtype == theirs.numpy().dtype and ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(ours, theirs.numpy(), **CLOSE)


@pytest.mark.filterwarnings("ignore")           # that the file fixes its sizes
def test_random_writes_in_files(tmp_path: Any) -> None:
    refused = 0
    for seed in SEEDS:
        module = Writes(program(seed, numbers(*SIZES[0]))).eval()
        try:
            model = filed(module, tmp_path / "a.pt2")
        except UnsupportedError as error:
            assert ": node '" in str(error), error
            refused += 1
            continue
        same(model, module, SIZES[0])
    assert refused <= MOST_REFUSED


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("steps", [
    # A view read after its tensor was written, and the other way round.
    ["x * 2", "y.view(-1)", "0: y.add_(1)", "1: y.mul_(3)"],
    ["x * 2", "y.select(1, 0)", "0: y[:, 0].fill_(3)", "1: y.add_(1)"],
    # Views of views, and through each kind.
    ["x * 2", "y.transpose(0, 1)", "y.unbind(-1)[1]", "y[1:]", "3: y.add_(5)", "0: y.mul_(2)"],
    ["x * 2", "y.split([1, 3], -1)[1]", "y.flatten(1)", "1: y.zero_()", "0: y.add_(1)"],
    ["x * 2", "y.permute(2, 0, 1)", "y.chunk(2, 0)[1]", "y.movedim(0, 2)", "3: y.clamp_(max=0.5)"],
    ["x * 2", "y.unflatten(-1, (2, 2))", "y.transpose(2, 3)", "y.select(3, 1)", "3: y.fill_(9)"],
    ["x * 2", "y.unfold(2, 2, 1)", "0: y.add_(1)"], ["x * 2", "y[:, :1].expand(-1, 3, -1)", "0: y.mul_(3)"],
    ["x[:, :1] * torch.ones(4, 1)", "y.diagonal(0, 1, 2)", "1: y.fill_(5)", "0: y.mul_(2)"],
    ["x * 2", "F.dropout(y, 0.5, False)", "1: y.add_(1)"],
    ["x * 2", "torch.broadcast_tensors(y[:1], y)[1]", "1: y.add_(1)"],
    # Copies, of which the tensor knows nothing: of another order, of another dtype.
    ["x.transpose(1, 2) * 2", "y.reshape(-1)", "1: y.add_(1)"], ["x.mT * 2", "y.contiguous()", "1: y.add_(1)"],
    ["x * 2", "y.to(torch.float64)", "1: y.add_(1)"], ["x * 2", "y.to(torch.float32, copy=True)", "1: y.add_(1)"],
    # Axes changed in place, of a tensor and of a view.
    ["x * 2", "y[0]", "1: y.t_()", "1: y[0].add_(7)"], ["x * 2", "y[:, 1]", "1: y.transpose_(0, 1)", "0: y.add_(1)"],
    ["x[:, :1] * 2", "y.mT", "0: y.squeeze_(1)", "0: y.unsqueeze_(-1)", "1: y.mul_(3)", "0: y.swapaxes_(0, 1)"],
], ids=str)
def test_a_write_is_seen_where_torch_shows_it(tmp_path: Any, steps: list[str]) -> None:
    """Each step: what it makes of the tensor made last; or the number of a tensor, and what changes it in place."""
    made: list[tuple[int, str, bool]] = []
    for text in steps:
        number, colon, change = text.partition(": ")
        count = sum(makes for _, _, makes in made)
        made.append((int(number), change, False) if colon else (max(count - 1, 0), text, True))
    module = Writes(made).eval()
    same(filed(module, tmp_path / "a.pt2"), module, SIZES[0])
    try:
        live = le.convert(module, example_inputs=(numbers(*SIZES[0]),))
    except UnsupportedError as error:           # with its sizes open it is not known what is a copy
        assert any(word in text for word in ("reshape", "contiguous", "flatten") for text in steps), error
        return
    ran = 0
    for sizes in SIZES:
        try:
            same(live, module, sizes)
        except le.ArgumentError:                # a size that torch has fixed
            continue
        ran += 1
    assert ran
