"""Programs of narrow whole numbers and truth values: torch has operators for them that ONNX has of wider ones alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lstm_engine as le

functional = torch.nn.functional
TYPES = ("uint8", "int8", "int16", "int32", "int64", "bool")
FUNCTIONS = {
    "relu": torch.relu, "relu6": functional.relu6, "neg": torch.neg, "abs": torch.abs, "sign": torch.sign,
    "square": torch.square, "cube": lambda x: x ** 3, "twice": lambda x: torch.add(x, x, alpha=2),
    "matmul": lambda x: x @ x.T, "linear": lambda x: functional.linear(x, x), "mv": lambda x: torch.mv(x, x[0]),
    "bmm": lambda x: torch.bmm(x[None], x.T[None]), "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
    "addmm": lambda x: torch.addmm(x[:, :1].expand(4, 4), x, x.T), "outer": lambda x: torch.outer(x[:, 0], x[:, 1]),
    "sort": lambda x: torch.sort(x, 1).values, "argsort": lambda x: torch.argsort(x, dim=1, stable=True),
    "topk": lambda x: torch.topk(x, 2).values, "kthvalue": lambda x: x.kthvalue(1, 1).values,
    "median": lambda x: x.median(1).values, "amax": lambda x: x.amax(1), "min": lambda x: x.min(),
    "max_dim": lambda x: x.max(1).values, "sum": lambda x: x.sum(1), "own_sum": lambda x: x.sum(1, dtype=x.dtype),
    "prod": lambda x: x.prod(1), "cumsum": lambda x: x.cumsum(1), "any": lambda x: x.any(1), "all": lambda x: x.all(1),
    "hardtanh": lambda x: functional.hardtanh(x, 0, 3), "threshold": lambda x: functional.threshold(x, 2, 1),
    "clamp": lambda x: x.clamp(1, 5), "maximum": lambda x: torch.maximum(x, x.flip(0)), "diff": lambda x: x.diff(dim=1),
    "floor_divide": lambda x: x // 2, "remainder": lambda x: x % 3, "less": lambda x: x < x.flip(0),
    "scatter_add": lambda x: torch.zeros_like(x).scatter_add(1, torch.zeros_like(x, dtype=torch.int64), x)}
# Said so, not computed.
REFUSED = {("sign", "bool"), ("clamp", "bool"), ("diff", "bool")}


class _Of(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _numbers(dtype: str) -> torch.Tensor:
    """[4, 3], beyond what sums and products of the type can hold; truth values of both kinds."""
    numbers = torch.arange(12).reshape(4, 3)
    return (numbers % 3 > 0) if dtype == "bool" else (numbers * 7 % 11 * 23).to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_are_torchs_own(name, dtype):
    x, module = _numbers(dtype), _Of(FUNCTIONS[name]).eval()
    try:
        expected = module(x).numpy()
    except (RuntimeError, NotImplementedError):
        return                              # torch has no such thing
    if (name, dtype) in REFUSED:
        with pytest.raises(le.UnsupportedError):
            le.convert(module, example_inputs=(x,))
        return
    made = le.convert(module, example_inputs=(x,)).predict(x.numpy())
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made, expected)
