"""One recurrent operator run by ONNX Runtime, and random configurations of all that ONNX lets it have."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_engine.graph import Activation

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
# Our name -> ONNX's, and whether it takes alpha and beta.
ONNX_ACTIVATIONS = {"relu": ("Relu", 0), "tanh": ("Tanh", 0), "sigmoid": ("Sigmoid", 0), "affine": ("Affine", 2),
                    "leaky_relu": ("LeakyRelu", 1), "thresholded_relu": ("ThresholdedRelu", 1),
                    "scaled_tanh": ("ScaledTanh", 2), "hard_sigmoid": ("HardSigmoid", 2), "elu": ("Elu", 1),
                    "softsign": ("Softsign", 0), "softplus": ("Softplus", 0)}


def run_onnx(op: str, X, W, R, B=None, sequence_lens=None, initial_h=None, initial_c=None, P=None, *,
             direction="forward", activations=None, clip=None, input_forget=False, linear_before_reset=False):
    """Y [batch, time, dirs, H] and the final states [batch, dirs, H] of ONNX Runtime, float32.

    Takes what the functions of `lstm_engine.reference` take, batch first, and transposes to ONNX's layout 0.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    def time_first(state):
        return None if state is None else np.ascontiguousarray(np.swapaxes(state, 0, 1))

    given = {"X": time_first(X), "W": W, "R": R, "B": B, "sequence_lens": sequence_lens,
             "initial_h": time_first(initial_h), "initial_c": time_first(initial_c), "P": P}
    if op != "LSTM":
        given = dict(list(given.items())[:6])
    attributes: dict[str, Any] = {"hidden_size": R.shape[2], "direction": direction}
    if activations is not None:
        flat = [function for functions in activations for function in functions]
        attributes["activations"] = [ONNX_ACTIVATIONS[function.name][0] for function in flat]
        lists = {"activation_alpha": [f.alpha for f in flat if ONNX_ACTIVATIONS[f.name][1] >= 1],
                 "activation_beta": [f.beta for f in flat if ONNX_ACTIVATIONS[f.name][1] == 2]}
        attributes.update({name: values for name, values in lists.items() if values})
    if clip is not None:
        attributes["clip"] = clip
    attributes.update({name: 1 for name, on in (("input_forget", input_forget),
                                                ("linear_before_reset", linear_before_reset)) if on})
    present = {name: array for name, array in given.items() if array is not None}
    outputs = ["Y", "Y_h", "Y_c"][:3 if op == "LSTM" else 2]
    node = helper.make_node(op, [name if name in present else "" for name in given], outputs, **attributes)
    kind = {np.dtype(np.int32): TensorProto.INT32, np.dtype(np.float32): TensorProto.FLOAT}
    graph = helper.make_graph(
        [node], "cell", [helper.make_tensor_value_info(n, kind[a.dtype], a.shape) for n, a in present.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    Y, *states = session.run(None, present)
    return (Y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states))


def random_activation(rng: np.random.Generator) -> Activation:
    name = rng.choice(list(ONNX_ACTIVATIONS))
    # float32 parameters, as the ONNX file holds them: the oracle must see the same numbers.
    alpha, beta = (float(np.float32(v)) for v in rng.uniform(0.1, 0.9, 2))
    return Activation.of(str(name), alpha, beta)


def random_case(op: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and options of one configuration, a function of `seed`."""
    rng = np.random.default_rng([seed, GATES[op]])
    batch, time, features, hidden = (int(v) for v in rng.integers((1, 1, 1, 1), (5, 8, 7, 9)))
    dirs = int(rng.integers(1, 3))
    rows = GATES[op] * hidden

    def normal(*shape: int) -> np.ndarray:
        return (0.5 * rng.standard_normal(shape)).astype(np.float32)

    def maybe(make, chance=0.5):
        return make() if rng.random() < chance else None

    arrays = dict(X=normal(batch, time, features), W=normal(dirs, rows, features), R=normal(dirs, rows, hidden),
                  B=maybe(lambda: normal(dirs, 2 * rows)),
                  sequence_lens=maybe(lambda: rng.integers(0, time + 1, batch).astype(np.int32)),
                  initial_h=maybe(lambda: normal(batch, dirs, hidden)))
    options: dict[str, Any] = dict(
        direction="bidirectional" if dirs == 2 else str(rng.choice(["forward", "reverse"])),
        activations=maybe(lambda: tuple(tuple(random_activation(rng) for _ in range(FUNCTIONS[op]))
                                        for _ in range(dirs))),
        clip=maybe(lambda: float(np.float32(rng.uniform(0.2, 1.0))), 0.3))
    if op == "LSTM":
        arrays["initial_c"] = maybe(lambda: normal(batch, dirs, hidden))
        arrays["P"] = maybe(lambda: normal(dirs, 3 * hidden))
        options["input_forget"] = bool(rng.random() < 0.3)
    if op == "GRU":
        options["linear_before_reset"] = bool(rng.random() < 0.5)
    return arrays, options
