"""Functions between the layers of a torch program, live and by `.pt2` files, against torch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_functions import EDGES, FUNCTIONS  # noqa: E402

import lstm_engine as le  # noqa: E402

SIZES = [(2, 5), (3, 6), (2, 8)]        # rows and steps; the example's first
# float32 of a few sums and functions, each within 4 units in the last place, in another order
HARD = [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, 1.0, -1.0, 3.0, -3.0]
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


class Of(torch.nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


def numbers(rows: int, steps: int) -> torch.Tensor:
    return torch.randn(rows, steps, 4, generator=torch.Generator().manual_seed(10 * rows + steps))


def hard(rows: int, steps: int) -> torch.Tensor:
    """Numbers with what is not finite, equal ones, halves and both zeros among them."""
    x = numbers(rows, steps).flatten()
    places = torch.randperm(x.numel(), generator=torch.Generator().manual_seed(7 * rows + steps))[:len(HARD)]
    x[places] = torch.tensor(HARD)
    return x.view(rows, steps, 4)


def exported(module: torch.nn.Module, path: Any) -> le.Model:
    """The model of the file that torch writes, rows and steps open."""
    open_axes = dict.fromkeys((0, 1), torch.export.Dim.AUTO)
    with torch.no_grad():
        torch.export.save(torch.export.export(module, (numbers(*SIZES[0]),), dynamic_shapes=(open_axes,)), path)
    return le.convert(path)


@pytest.mark.filterwarnings("ignore")           # of torch, of moments of too few numbers
@pytest.mark.parametrize("name", [*FUNCTIONS, *EDGES])
def test_a_function_is_torchs_own(tmp_path: Any, name: str) -> None:
    module = Of((FUNCTIONS | EDGES)[name]).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = [le.convert(module, example_inputs=(numbers(*SIZES[0]),)), exported(module, tmp_path / "a.pt2")]
    given = [numbers, hard] if name in EDGES else [numbers]
    for model in models:
        assert sum(taken(model, module, of(*sizes)) for sizes in SIZES for of in given)


def taken(model: le.Model, module: torch.nn.Module, x: torch.Tensor) -> bool:
    """Whether the model takes the size, which torch may have fixed; where it does it must give torch's numbers."""
    wanted = module(x)
    wanted = list(wanted) if isinstance(wanted, (tuple, list)) else [wanted]
    try:
        made = model.predict(x.numpy())
    except le.ArgumentError:
        return False
    made = list(made.values()) if isinstance(made, dict) else [made]
    assert len(made) == len(wanted)
    for ours, theirs in zip(made, wanted):
        assert ours.dtype == theirs.numpy().dtype and ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(ours, theirs.numpy(), **CLOSE)
    return True
