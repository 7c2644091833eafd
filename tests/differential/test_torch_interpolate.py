"""interpolate of a torch program over many sizes and factors, against torch: which element is nearest hangs on the last
bit of a place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

import lstm_engine as le  # noqa: E402
from lstm_engine.running import foresee  # noqa: E402
from lstm_engine.running.account import Account  # noqa: E402

# Two products and a sum in float32, each rounded once; places are the same to the last bit but where torch has fused
# a product and a sum, which moves them by half of that bit: 2**-24 of 40 elements, times numbers of up to 4.
CLOSE = {"rtol": 1e-6, "atol": 2e-5}
NEAREST = ("nearest", "nearest-exact")


class Grid(torch.nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, **self.options)


def compared(model: le.Model, module: torch.nn.Module, *shape: int) -> bool:
    """Whether the model takes the size; where it does it must give torch's numbers."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    try:
        made = model.predict(x.numpy())
    except le.ArgumentError:        # torch wrote of one element, or of none, that the program is not for it
        return False
    wanted = module(x).numpy()
    if module.options["mode"] in NEAREST:
        np.testing.assert_array_equal(made, wanted)
    else:
        np.testing.assert_allclose(made, wanted, **CLOSE)
    return True


@pytest.mark.parametrize("options", [
    *({"mode": mode, "size": size} for mode in NEAREST for size in (7, 44, 83, 84)),
    *({"mode": mode, "scale_factor": scale} for mode in (*NEAREST, "linear") for scale in (1.7, 0.3, 2.3333, 2.25)),
    {"mode": "nearest", "scale_factor": 1.7, "recompute_scale_factor": True},
    {"mode": "linear", "scale_factor": 0.7, "recompute_scale_factor": True},
    {"mode": "linear", "size": 57}, {"mode": "linear", "size": 57, "align_corners": True},
    {"mode": "linear", "scale_factor": 1.1, "align_corners": True},
], ids=str)
def test_steps_of_any_number(options: dict[str, Any]) -> None:
    module = Grid(**options)
    model = le.convert(module, example_inputs=(torch.randn(2, 3, 11),))
    assert sum(compared(model, module, 1, 3, steps) for steps in range(1, 41)) >= 30


@pytest.mark.parametrize("options", [
    {"mode": "nearest", "size": (64, 58)}, {"mode": "nearest-exact", "size": (68, 22)},
    {"mode": "nearest-exact", "size": (81, 90)}, {"mode": "nearest", "scale_factor": (2.25, 1.1)},
    {"mode": "bilinear", "scale_factor": (1.7, 0.9)}, {"mode": "bilinear", "size": (33, 20), "align_corners": True},
], ids=str)
def test_images(options: dict[str, Any]) -> None:
    """Up to 128 rows and columns together, and more, torch counts nearest places in two ways."""
    module = Grid(**options)
    model = le.convert(module, example_inputs=(torch.randn(2, 3, 19, 20),))
    assert sum(compared(model, module, 1, 3, rows, 45 - rows) for rows in range(4, 41, 3)) >= 10


@pytest.mark.filterwarnings("ignore")           # that the file fixes its sizes
@pytest.mark.parametrize("options, shape", [
    ({"mode": "nearest", "size": 3001}, (777,)), ({"mode": "nearest-exact", "size": 83}, (14,)),
    ({"mode": "nearest-exact", "size": (81, 44)}, (19, 40)), ({"mode": "linear", "size": 1999}, (700,)),
    ({"mode": "linear", "scale_factor": 1.0625}, (5,)),         # the same size again: as it is
], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_files(tmp_path: Any, options: dict[str, Any], shape: tuple[int, ...], dtype: Any) -> None:
    module, x = Grid(**options), torch.randn(1, 2, *shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "a.pt2")
    made = le.convert(tmp_path / "a.pt2").predict(x.numpy())
    assert made.dtype == x.numpy().dtype
    np.testing.assert_allclose(made, module(x).numpy(), **CLOSE)


@pytest.mark.parametrize("after", [1 << 10, 1 << 18, 1 << 20])
def test_a_large_call_is_foreseen_with_the_sizes_that_were_computed(monkeypatch: Any, after: int) -> None:
    """What a run has computed when it turns out large, sizes among it, is what it is. What stands in for numbers that
    are not told yet may be any number: here a large one."""
    module = Grid(mode="bilinear", scale_factor=(3.0, 2.5))
    model = le.convert(module, example_inputs=(torch.randn(2, 3, 5, 6),))
    monkeypatch.setattr(Account, "LARGE", after)
    monkeypatch.setattr(foresee, "stand_in", lambda shape, dtype: np.broadcast_to(
        np.full((), 1, dtype) if np.dtype(dtype).kind == "b" else np.full((), 2**59, dtype), shape))
    assert compared(model, module, 8, 3, 38, 38)
