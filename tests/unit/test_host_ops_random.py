"""The host operators against ONNX Runtime on random nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_operators import as_operator, check_shapes

from lstm_engine import runtime
from lstm_engine.graph import Operator
from lstm_engine.plan import HostStep
from lstm_engine.plan.host_nodes import host_kernel, host_step
from lstm_engine.plan.host_ops import run_operator
from lstm_engine.plan.replay import Unrepeatable, record

onnx = pytest.importorskip("onnx")


def random_case(kind: str, rng: np.random.Generator) -> tuple[str, dict, list[np.ndarray]]:
    """One random node: (operator, attributes, inputs)."""
    def floats(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    spatial = pick(1, 2)
    size = [int(rng.integers(6, 12)) for _ in range(spatial)]
    kernel = [int(rng.integers(1, 4)) for _ in range(spatial)]
    # Strides up to the kernel's size: beyond it ONNX Runtime's SAME padding leaves the text of the standard.
    window: dict[str, Any] = dict(strides=[int(rng.integers(1, k + 1)) for k in kernel])
    auto = pick("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if auto == "NOTSET":
        window["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
        window["dilations"] = [int(rng.integers(1, 3)) for _ in range(spatial)]
    else:
        window["auto_pad"] = auto
    if kind == "Conv":
        group = pick(1, 2, 4)
        return kind, {**window, "group": group}, [floats(2, 4, *size), floats(8, 4 // group, *kernel), floats(8)]
    if kind == "ConvTranspose":
        group = pick(1, 2)
        if auto == "NOTSET":
            # Smaller than the stride, and at least as large as what the padding would cut to nothing.
            window["output_padding"] = [int(rng.integers(0, s)) for s in window["strides"]]
        return kind, {**window, "group": group}, [floats(2, 4, *size), floats(4, 3, *kernel), floats(3 * group)]
    if kind in ("MaxPool", "AveragePool"):
        window.update(kernel_shape=kernel, ceil_mode=pick(0, 1))
        if kind == "AveragePool":
            window["count_include_pad"] = pick(0, 1)
        return kind, window, [floats(2, 3, *size)]
    if kind == "Slice":
        axes = rng.permutation(3)[:pick(1, 2, 3)] - pick(0, 3)
        count = len(axes)
        bounds = [rng.integers(-9, 10, count), rng.integers(-9, 10, count), axes, [pick(-2, -1, 1, 2, 3) for _ in axes]]
        return kind, {}, [floats(4, 5, 6), *(np.asarray(b, np.int64) for b in bounds)]
    if kind == "Pad":
        mode = pick("constant", "reflect", "edge", "wrap")
        return kind, dict(mode=mode), [floats(4, 5, 6), rng.integers(-1 if mode == "constant" else 0, 3, 6),
                                       np.float32(2.5)]
    if kind.startswith("Reduce"):
        x = np.abs(floats(3, 4, 5)) + 1 if kind == "ReduceLogSum" else floats(3, 4, 5)
        return kind, dict(keepdims=pick(0, 1)), [x, rng.permutation(3)[:pick(1, 2, 3)]]
    if kind == "ScatterND":
        return kind, dict(reduction=pick("none", "add", "max")), [
            floats(5, 4, 3), np.stack(np.unravel_index(rng.permutation(20)[:6], (5, 4)), -1).reshape(2, 3, 2),
            floats(2, 3, 3)]
    if kind == "ScatterElements":
        indices = np.argsort(rng.random((5, 4)), axis=0)[:3]
        return kind, dict(axis=0, reduction=pick("none", "add")), [floats(5, 4), indices, floats(3, 4)]
    if kind == "GatherElements":
        return kind, dict(axis=1), [floats(3, 6), rng.integers(-6, 6, (3, 2))]
    if kind == "Gather":
        return kind, dict(axis=pick(0, 1, -1)), [floats(5, 5, 5), rng.integers(-5, 5, (2, 3))]
    if kind == "TopK":
        x = rng.integers(0, 6, (4, 9)).astype(np.float32)      # with ties
        return kind, dict(axis=pick(0, 1), largest=pick(0, 1)), [x, np.array([3])]
    if kind == "CumSum":
        return kind, dict(exclusive=pick(0, 1), reverse=pick(0, 1)), [floats(3, 4, 5), np.int64(pick(0, 1, -1))]
    if kind == "ReverseSequence":
        return kind, dict(time_axis=0, batch_axis=1), [floats(6, 3, 2), rng.integers(1, 7, 3)]
    if kind == "Gemm":
        ta, tb = pick(0, 1), pick(0, 1)
        return kind, dict(transA=ta, transB=tb, alpha=0.5, beta=pick(1.0, 2.0)), [
            floats(*((7, 3) if ta else (3, 7))), floats(*((5, 7) if tb else (7, 5))),
            floats(*pick((5,), (3, 5), (3, 1)))]
    if kind == "Einsum":
        equation, shapes = pick(("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("...ij,jk", [(2, 3, 4), (4, 5)]),
                                ("ij->ji", [(3, 4)]), ("bi,bj,bk->ijk", [(2, 3), (2, 4), (2, 5)]), ("ii->i", [(4, 4)]))
        return kind, dict(equation=equation), [floats(*shape) for shape in shapes]
    if kind in ("InstanceNormalization", "LayerNormalization", "BatchNormalization", "GroupNormalization"):
        shape = {"LayerNormalization": (6,)}.get(kind, (4,))
        extra = [floats(4), np.abs(floats(4)) + 0.1] if kind == "BatchNormalization" else []
        attributes = dict(epsilon=1e-3, **({"num_groups": 2} if kind == "GroupNormalization" else {}))
        return kind, attributes, [floats(3, 4, 6), floats(*shape), floats(*shape), *extra]
    if kind in ("Softmax", "LogSoftmax"):
        return kind, dict(axis=pick(0, 1, -1)), [floats(3, 4, 5) * 10]
    if kind in ("Erf", "Gelu", "Mish", "Elu", "Selu", "Softplus", "HardSwish", "Celu"):
        return kind, {}, [floats(50) * 4]
    if kind == "Div":
        b = rng.integers(1, 5, 20) * rng.choice([-1, 1], 20)
        return kind, {}, [rng.integers(-20, 20, 20), b]
    assert kind == "Pow"
    return kind, {}, pick([np.abs(floats(3, 4)), floats(4)], [floats(5), np.float32(2)], [floats(5), np.int64(3)])


def in_a_plan(operator: Operator, arrays: list) -> list[np.ndarray]:
    """As the step of a plan, which gives convolutions with a fixed weight to the core; replayed, it gives the same."""
    kernel = host_kernel(operator, {}, runtime.isa())
    step = HostStep(operator, kernel, host_step(operator, kernel))
    given = {name: array for name, array in zip(operator.inputs, arrays) if name}
    values = dict(given)
    step.run(values)
    results = [values[name] for name in operator.outputs]
    others = {name: array[::-1] if array.dtype.kind == "f" and array.ndim else array for name, array in given.items()}
    with np.errstate(all="ignore"):
        try:
            replayed = record([step], operator.outputs, others, 1, 1 << 30)(given)
        except Unrepeatable:        # what a value says, such as the k of TopK, may decide the shape
            assert not set(operator.inputs[1:]) <= {""}
        else:
            for name, result in zip(operator.outputs, results):
                np.testing.assert_array_equal(replayed[name], result, err_msg=operator.op_type)
                assert replayed[name].dtype == result.dtype
    return results


RANDOM = ("Conv ConvTranspose MaxPool AveragePool Slice Pad ReduceMean ReduceL2 ReduceLogSum ReduceLogSumExp ReduceProd"
          " ScatterND ScatterElements GatherElements Gather TopK CumSum ReverseSequence Gemm Einsum LayerNormalization"
          " InstanceNormalization BatchNormalization GroupNormalization Softmax LogSoftmax Erf Gelu Mish Elu Selu Celu"
          " Softplus HardSwish Div Pow")


@pytest.mark.parametrize("kind", RANDOM.split())
def test_against_onnxruntime(kind: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    ran = 0
    for seed in range(24):
        op_type, attributes, given = random_case(kind, np.random.default_rng(seed))
        inputs = [np.asarray(x) for x in given]
        names = [f"x{i}" for i in range(len(inputs))]
        outputs = ["y", "i"] if op_type == "TopK" else ["y"]
        node = onnx.helper.make_node(op_type, names, outputs, name="n", **attributes)
        graph = onnx.helper.make_graph(
            [node], "g",
            [onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
             for n, x in zip(names, inputs)], [onnx.ValueInfoProto(name=name) for name in outputs])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options)
            expected = session.run(None, dict(zip(names, inputs)))
        except Exception:                       # a random window may not fit its input: not a case
            continue
        ran += 1
        for fixed in (False, True):
            operator, arrays = as_operator(node, inputs, fixed)
            results = run_operator(operator, arrays)
            for result, wanted in zip([*results, *in_a_plan(operator, arrays)], [*expected, *expected], strict=True):
                assert result.dtype == wanted.dtype and result.shape == wanted.shape, (seed, attributes)
                # float32 sums of at most a few hundred terms near 1, in another order than ONNX Runtime's.
                np.testing.assert_allclose(result, wanted, rtol=2e-5, atol=5e-6, err_msg=f"{seed} {attributes}")
            check_shapes(operator, arrays, results)
    assert ran >= 12, f"only {ran} of 24 random cases were valid"
