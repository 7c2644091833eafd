"""Weights in fewer bytes: the numbers that they become, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import weights

from lstm_engine.errors import ArgumentError
from lstm_engine.graph.quantized import (
    LARGEST,
    QUANTIZED_TYPES,
    VALUE_DTYPES,
    Quantized,
    error_of,
    from_bfloat16,
    inverse_and_scale,
    quantized,
    to_bfloat16,
)
from lstm_engine.graph.rows import Rows

f32 = np.float32
SHAPES = {"W": ((2, 12, 5), -2), "kernel": ((7, 4), -1), "square kernel": ((6, 6), -1), "table": ((6, 6), -2)}


def channels(array: np.ndarray, axis: int) -> np.ndarray:
    """The weights by output channel, [..., channels, K]."""
    return array if axis == -2 else array.T


@pytest.mark.parametrize(("shape", "axis"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("to", ["int8", "int8_weights"])
def test_int8_is_its_definition_number_by_number(shape, axis, to):
    sizes = 10.0 ** np.arange(shape[axis]).astype(f32)
    array = weights(*shape) * (sizes[:, None] if axis == -2 else sizes)
    channels(array, axis)[..., 1, :] = 0                         # a channel of zeros
    made = quantized(array, to, axis, "w")
    assert made.values.dtype == np.int8 and made.scale.dtype == f32 and made.values.flags.c_contiguous
    flat = channels(array, axis).reshape(-1, channels(array, axis).shape[-1])
    values = channels(made.values, axis).reshape(flat.shape)
    for channel, q, scale in zip(flat, values, made.scale.reshape(-1), strict=True):
        largest = max(abs(number) for number in channel)
        assert scale == (largest / f32(127) if largest else 1)
        inverse = f32(127) / largest if largest else f32(1)
        assert q.tolist() == [int(np.rint(number * inverse)) for number in channel]
    assert int(np.abs(made.values.astype(int)).max()) == 127


def test_tiny_channels_have_the_largest_inverse_that_float32_has():
    """Where 127 / max is beyond float32, the scale is the reciprocal of the largest float32; a huge outlier leaves the
    rest of its channel at 0."""
    array = np.array([[1e-38, -5e-39], [1e-45, 0], [3e38, 1]], f32)
    made = quantized(array, "int8", -2, "w")
    assert made.scale[0] == made.scale[1] == f32(1) / LARGEST
    assert made.values.tolist() == [[int(np.rint(f32(1e-38) * LARGEST)), int(np.rint(f32(-5e-39) * LARGEST))], [0, 0],
                                    [127, 0]]
    inverse, scale = inverse_and_scale(np.array([0, 127, np.inf, np.nan], f32))
    assert inverse.tolist() == [1, 1, 0, 0] and scale[:2].tolist() == [1, 1] and np.isnan(scale[2:]).all()


@pytest.mark.parametrize(("shape", "axis"), SHAPES.values(), ids=SHAPES)
def test_whole_is_what_onnx_dequantises(shape, axis):
    """DequantizeLinear of ONNX's own reference, along the axis of the channels."""
    pytest.importorskip("onnx")
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    made = quantized(weights(*shape), "int8_weights", axis, "w")
    node = helper.make_node("DequantizeLinear", ["q", "s"], ["y"], axis=1)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("q", 3, None),
                                            helper.make_tensor_value_info("s", 1, None)],
                              [helper.make_tensor_value_info("y", 1, None)])
    onnx = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
    values = made.values if made.values.ndim == 3 else made.values[None]
    scales = made.scale.reshape(len(values), -1)
    for matrix, scale, whole in zip(values, scales, made.whole().reshape(values.shape), strict=True):
        columns = matrix.T if axis == -2 else matrix                   # [K, channels]
        (y,) = onnx.run(None, {"q": columns, "s": scale})
        np.testing.assert_array_equal(y, whole.T if axis == -2 else whole)


def test_bfloat16_is_torchs_for_every_kind_of_number():
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    ties = (np.arange(2**16, dtype=np.uint32) << 16) | 0x8000
    array = np.concatenate([bits, ties, ties + 1, ties - 1]).view(f32)
    theirs = torch.from_numpy(array).bfloat16()
    real = ~np.isnan(array)
    ours = to_bfloat16(array)
    np.testing.assert_array_equal(ours[real], theirs.view(torch.int16).numpy().view(np.uint16)[real])
    assert np.isnan(from_bfloat16(ours[~real])).all()
    np.testing.assert_array_equal(from_bfloat16(ours[real]), theirs.float().numpy()[real])


def test_float16_is_numpys():
    array = weights(30, 40) * 1000
    made = quantized(array, "float16", -2, "w")
    np.testing.assert_array_equal(made.values, array.astype(np.float16))
    np.testing.assert_array_equal(made.whole(), array.astype(np.float16).astype(f32))


@pytest.mark.parametrize("to", QUANTIZED_TYPES)
def test_a_quantised_weight_stands_for_a_float32_array(to):
    array = weights(3, 8, 5)
    made = quantized(array, to, -2, "w")
    assert (made.shape, made.ndim, made.size, len(made)) == ((3, 8, 5), 3, 120, 3) and made.dtype == f32
    assert made.nbytes == 120 * VALUE_DTYPES[to].itemsize + (96 if made.scale is not None else 0)
    np.testing.assert_array_equal(np.asarray(made), made.whole())
    assert np.asarray(made, np.float64).dtype == np.float64
    largest, squares = error_of(made, array)
    off = np.abs(made.whole() - array)
    assert largest == off.max() and squares == pytest.approx((off.astype(np.float64) ** 2).sum(), rel=1e-12)
    with pytest.raises(ValueError, match="no float32 numbers in memory"):
        np.array(made, copy=False)


def test_values_may_be_rows_that_are_made_when_asked_for():
    class Lazy(Rows):
        def __init__(self, array):
            super().__init__(array.shape, array.dtype)
            self.array = array

        def rows(self, begin, end):
            return self.array.reshape(-1, self.shape[-1])[begin:end]

    made = quantized(weights(2, 8, 5), "int8", -2, "w")
    lazy = Quantized("int8", Lazy(made.values), made.scale)
    assert (lazy.shape, lazy.nbytes) == (made.shape, made.nbytes)
    np.testing.assert_array_equal(lazy.whole(), made.whole())
    np.testing.assert_array_equal(lazy.held().values, made.values)


def test_parts_of_a_large_weight_are_quantised_as_the_whole_is(monkeypatch):
    import lstm_engine.graph.quantized as module

    array = weights(40, 9)
    for to in QUANTIZED_TYPES:
        for axis in (-1, -2):
            monkeypatch.setattr(module, "BLOCK_BYTES", 1 << 22)
            whole = quantized(array, to, axis, "w")
            monkeypatch.setattr(module, "BLOCK_BYTES", 7 * 4 * 9)          # 7 rows at a time
            parts = quantized(array, to, axis, "w")
            np.testing.assert_array_equal(parts.values, whole.values)
            if whole.scale is not None:
                np.testing.assert_array_equal(parts.scale, whole.scale)


REFUSED = {
    "NaN, int8": ("int8", np.nan, "w[1, 2, 3] (output channel 1, 2): nan is not finite: a weight with NaN or infinity "
                                  "has no scale"),
    "infinity, int8_weights": ("int8_weights", -np.inf, "w[1, 2, 3] (output channel 1, 2): -inf is not finite"),
    "NaN, bfloat16": ("bfloat16", np.nan, "w[1, 2, 3] (output channel 1, 2): nan is not finite: bfloat16 is for finite "
                                          "weights"),
    "infinity, float16": ("float16", np.inf, "w[1, 2, 3] (output channel 1, 2): inf is not finite"),
    "beyond float16": ("float16", 65536, "w[1, 2, 3] (output channel 1, 2): 65536.0 is beyond the largest float16, "
                                         "65504; bfloat16 has the range of float32"),
    "beyond bfloat16": ("bfloat16", 3.4e38, "3.3999999521443642e+38 is beyond the largest bfloat16, 3.3895e38; leave "
                                            "this layer in float32"),
}


@pytest.mark.parametrize(("to", "number", "message"), REFUSED.values(), ids=REFUSED)
def test_numbers_that_a_type_does_not_hold_are_refused_by_their_place(to, number, message):
    array = weights(2, 4, 5)
    array[1, 2, 3] = number
    with pytest.raises(ArgumentError) as caught:
        quantized(array, to, -2, "w")
    assert message in str(caught.value)


def test_the_channel_of_a_kernel_is_its_column():
    array = weights(4, 3)
    array[3, 1] = np.inf
    with pytest.raises(ArgumentError, match=r"^fc: kernel\[3, 1\] \(output channel 1\): inf is not finite"):
        quantized(array, "int8", -1, "fc: kernel")
