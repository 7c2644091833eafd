"""Chains of random functions and layers, in forms that torch writes quickly (tools/fuzz_torch.py has more of both)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from torch_fuzz import Made, compared, converted, names_of, tried  # noqa: E402

TIED = 5025                             # a number of it is 24.5 steps, and 24.500015 in torch's float32


@pytest.mark.parametrize("seed", [*range(6), TIED])
def test_a_chain_is_torchs_own(seed: int) -> None:
    found = tried("traced", Made(names_of(seed, 40), seed).eval())
    assert found.what == "right", found.said


def test_a_chain_that_is_another_is_found(tmp_path) -> None:
    """The measure itself: what is left out at the edges of steps hides no wrong function."""
    names = [*names_of(TIED, 39), "Linear"]
    model, _ = converted("traced", Made(names, TIED).eval(), tmp_path)
    for seed in (TIED, TIED + 1):
        with torch.no_grad():
            found = compared(model, Made(names, seed).eval(), None)
        assert found.what == ("right" if seed == TIED else "wrong"), found.said


def test_a_count_of_truth_values_that_onnx_does_not_define_is_refused() -> None:
    """The older exporter writes CumSum of bool; what came of it was no count."""
    found = tried("script", Made(["sums of other types"], 0).eval())
    assert found.what == "refused" and "must be numbers, got bool" in found.said, found.said
