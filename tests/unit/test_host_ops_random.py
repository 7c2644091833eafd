"""The host operators against ONNX Runtime on random nodes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_operators import as_operator, check_shapes
from random_operators import random_case

from lstm_engine import runtime
from lstm_engine.graph import Graph, Operator
from lstm_engine.operators import run_operator
from lstm_engine.plan import HostStep
from lstm_engine.plan.host_nodes import host_kernel, host_step
from lstm_engine.plan.weights import Sharing
from lstm_engine.running.record import Unrepeatable, record

onnx = pytest.importorskip("onnx")


def in_a_plan(operator: Operator, arrays: list) -> list[np.ndarray]:
    """As the step of a plan, which gives convolutions with a fixed weight to the core; replayed, it gives the same."""
    kernel = host_kernel(operator, {}, runtime.isa(), Sharing(Graph((), (operator,), ())))
    step = HostStep(operator, kernel, host_step(operator, kernel))
    given = {name: array for name, array in zip(operator.inputs, arrays) if name}
    values = dict(given)
    step.run(values)
    results = [values[name] for name in operator.outputs]
    others = {name: array[::-1] if array.dtype.kind == "f" and array.ndim else array for name, array in given.items()}
    with np.errstate(all="ignore"):
        try:
            replayed = record([step], [()], operator.outputs, others, 1, 1 << 30)(given)
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
          " Softplus HardSwish Div Pow Resize STFT DFT QuantizeLinear DequantizeLinear MatMulInteger ConvInteger"
          " QLinearMatMul QLinearConv"
          " SpaceToDepth DepthToSpace LpNormalization LRN Shrink Hardmax Compress Trilu EyeLike Asinh HannWindow"
          " BlackmanWindow MeanVarianceNormalization BitShift")


@pytest.mark.parametrize("kind", RANDOM.split())
def test_against_onnxruntime(kind: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    ran = 0
    for seed in range(24):
        op_type, attributes, given = random_case(kind, np.random.default_rng(seed))
        inputs = [np.asarray(x) for x in given]
        names = [f"x{i}" for i in range(len(inputs))]
        outputs = ["y", "i"] if op_type in ("TopK", "MaxPool") else ["y"]
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
