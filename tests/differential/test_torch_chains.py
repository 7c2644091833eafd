"""Chains of random functions and layers, in forms that torch writes quickly (tools/fuzz_torch.py has more of both)."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from torch_fuzz import Made, names_of, tried  # noqa: E402


@pytest.mark.parametrize("seed", range(6))
def test_a_chain_is_torchs_own(seed: int) -> None:
    found = tried("traced", Made(names_of(seed, 40), seed).eval())
    assert found.what == "right", found.said


def test_a_count_of_truth_values_that_onnx_does_not_define_is_refused() -> None:
    """The older exporter writes CumSum of bool; what came of it was no count."""
    found = tried("script", Made(["sums of other types"], 0).eval())
    assert found.what == "refused" and "must be numbers, got bool" in found.said, found.said
