"""PyTorch: torch.nn modules under inference_mode, time first (its native order).

int8: `torch.ao.quantization.quantize_dynamic`. bfloat16: modules of that type, and float32 modules under autocast.
float16: modules of that type.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn

from lstm_engine.graph import GRU, LSTM, RNN, Activate, Dense, Embedding, Graph, Node, Recurrent

from ..cells import LENGTHS, STREAM, VOICE, Case, Cell
from ..networks import default_activations, with_states
from .base import (
    Loaded,
    NotSupported,
    Outputs,
    Variant,
    batches_by_length,
    real_steps,
    time_first,
    unbatched,
)

Values = dict[str, torch.Tensor]
# --dtype -> the ways of having it: name of the variant, type of the modules
_WAYS: dict[str, tuple[tuple[str, torch.dtype], ...]] = {
    "float32": (("", torch.float32),),
    "float64": (("", torch.float64),),
    "int8": (("", torch.qint8),),
    "bfloat16": (("module", torch.bfloat16), ("autocast", torch.float32)),
    "float16": (("module", torch.float16),),
}
_FUNCTIONS: dict[str, Callable] = {
    "linear": lambda x: x,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softmax": lambda x: torch.softmax(x, -1),
}
# Our gate order to torch's: LSTM i,o,f,c -> i,f,c,o; GRU z,r,h -> r,z,h.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}


def _tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array), dtype=dtype)


def _numbers(dtype: torch.dtype) -> torch.dtype:
    """Of what goes between the layers of that type."""
    return torch.float32 if dtype == torch.qint8 else dtype


def _bias(node: Recurrent) -> np.ndarray:
    """[dirs, 2*gates*H]; zeros where the node has none."""
    return np.zeros((node.dirs, 2 * node.gates * node.hidden)) if node.B is None else node.B


def _in_type(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module in that type; for qint8 what `quantize_dynamic` makes of it, NotSupported if that is nothing."""
    module = module.eval()
    if dtype != torch.qint8:
        return module.to(dtype)
    if getattr(module, "proj_size", 0):
        raise NotSupported("int8: its dynamic LSTM has no projection")
    with warnings.catch_warnings():
        # Of torch.ao, in favour of torchao, whose int8 has no recurrent layers.
        warnings.simplefilter("ignore", DeprecationWarning)
        made = torch.ao.quantization.quantize_dynamic(nn.Sequential(module), {nn.LSTM, nn.GRU, nn.Linear}, dtype)[0]
    if type(made) is type(module):
        raise NotSupported(f"int8: quantize_dynamic leaves nn.{type(module).__name__} in float32")
    return made


def _recurrent_module(node: Recurrent, dtype: torch.dtype) -> nn.Module:
    """nn.LSTM, nn.GRU or nn.RNN with the node's weights."""
    if node.direction == "reverse":
        raise NotSupported("torch.nn has no reverse direction alone")
    if isinstance(node, GRU) and not node.linear_before_reset:
        raise NotSupported("torch.nn.GRU is linear before reset")
    projection = node.projection if isinstance(node, LSTM) else None
    if isinstance(node, LSTM) and node.P is not None:
        raise NotSupported("torch.nn.LSTM has no peepholes")
    kind = {LSTM: nn.LSTM, GRU: nn.GRU, RNN: nn.RNN}[type(node)]
    options = {} if projection is None else {"proj_size": node.output_size}
    module = kind(node.features, node.hidden, bidirectional=node.dirs == 2, **options)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    module = module.to(exact)

    def reordered(rows: np.ndarray) -> torch.Tensor:
        return _tensor(np.concatenate([np.split(rows, node.gates)[gate] for gate in _ORDER[node.op]]), exact)

    with torch.no_grad():
        for d in range(node.dirs):
            suffix = "_l0_reverse" if d else "_l0"
            input_bias, hidden_bias = np.split(_bias(node)[d], 2)
            for name, rows in (
                ("weight_ih", node.W[d]),
                ("weight_hh", node.R[d]),
                ("bias_ih", input_bias),
                ("bias_hh", hidden_bias),
            ):
                getattr(module, name + suffix).copy_(reordered(rows))
            if projection is not None:
                getattr(module, "weight_hr" + suffix).copy_(_tensor(projection[d], exact))
    return _in_type(module, dtype)


def _recurrent(node: Recurrent, dtype: torch.dtype) -> Callable[[Values], None]:
    if not default_activations(node):
        return _cell_loop(node, dtype)
    module = _recurrent_module(node, dtype)

    def run(values: Values) -> None:
        given = [
            values[name].unflatten(1, (node.dirs, -1)).transpose(0, 1).contiguous()
            for name in node.inputs[2:4]
        ]
        state = None if not given else given[0] if len(given) == 1 else tuple(given)
        y, final = module(values[node.inputs[0]], state)
        finals = final if isinstance(final, tuple) else (final,)
        for name, made in zip(
            node.outputs, (y, *(f[0] if node.dirs == 1 else f.transpose(0, 1).flatten(1) for f in finals))
        ):
            if name:
                values[name] = made

    return run


def _cell_loop(node: Recurrent, dtype: torch.dtype) -> Callable[[Values], None]:
    """An LSTM with activations that nn.LSTM lacks: the input projection at once, a loop over the steps."""
    if node.op != "LSTM" or node.dirs != 1 or len(node.inputs) > 1:
        raise NotSupported("torch.nn has no such activations")
    if dtype == torch.qint8:
        raise NotSupported("int8: quantize_dynamic knows nn.LSTM, which has no such activations")
    f, g, h = (_FUNCTIONS[function.name] for function in node.activations[0])
    w, r = _tensor(node.W[0].T, dtype), _tensor(node.R[0].T, dtype)
    bias = _tensor(np.add(*np.split(_bias(node)[0], 2)), dtype)

    def run(values: Values) -> None:
        projected = values[node.inputs[0]] @ w + bias
        hidden = cell = torch.zeros(projected.shape[1], node.hidden, dtype=projected.dtype)
        steps = []
        for x_t in projected:
            i, o, forget, c = torch.addmm(x_t, hidden, r).chunk(4, 1)
            cell = f(forget) * cell + f(i) * g(c)
            hidden = f(o) * h(cell)
            steps.append(hidden)
        values[node.outputs[0]] = torch.stack(steps)

    return run


def _layer(node: Node, dtype: torch.dtype) -> Callable[[Values], None]:
    if isinstance(node, Recurrent):
        return _recurrent(node, dtype)
    x, y = node.inputs[0], node.outputs[0]
    if isinstance(node, Embedding):
        return _pointwise(x, y, nn.Embedding.from_pretrained(_tensor(node.table, _numbers(dtype))))
    if isinstance(node, Activate):
        return _pointwise(x, y, _FUNCTIONS[node.activation.name])
    if isinstance(node, Dense):
        return _pointwise(x, y, _linear(node, dtype))
    raise NotSupported(f"a {node.op} node")


def _linear(node: Dense, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    module = nn.Linear(node.kernel.shape[0], node.kernel.shape[1], bias=node.bias is not None).to(exact)
    with torch.no_grad():
        module.weight.copy_(_tensor(node.kernel.T, exact))
        if node.bias is not None:
            module.bias.copy_(_tensor(node.bias, exact))
    linear, activation = _in_type(module, dtype), node.activation
    return linear if activation.name == "linear" else lambda x: _FUNCTIONS[activation.name](linear(x))


def _pointwise(x: str, y: str, function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Values], None]:
    def run(values: Values) -> None:
        values[y] = function(values[x])

    return run


class Network:
    """A graph made of torch.nn modules. autocast: its float32 modules compute in bfloat16 where autocast lets them."""

    def __init__(self, graph: Graph, dtype: torch.dtype, autocast: bool = False) -> None:
        self.graph, self.autocast = graph, autocast
        self.layers = [_layer(node, dtype) for node in graph.nodes]

    def __call__(self, inputs: Values) -> list[torch.Tensor]:
        values = dict(inputs)
        with torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext():
            for layer in self.layers:
                layer(values)
        return [values[name] for name in self.graph.outputs]


def _house(y: torch.Tensor) -> np.ndarray:
    """A sequence [time, batch, F] as [batch, time, F]; a vector as it is; of 16 bits as float32."""
    y = y if y.dtype == torch.float64 else y.float()
    return (y.transpose(0, 1) if y.dim() == 3 else y).contiguous().numpy()


class Torch:
    name = "torch"

    def __init__(self) -> None:
        self.version = torch.__version__
        self._networks: dict[tuple, Network] = {}
        self._mode = torch.inference_mode()  # for the whole process; kept, as the mode ends with the object
        self._mode.__enter__()

    def use_threads(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def build(self, cell: Cell, case: Case, threads: int, dtype: str) -> list[Variant]:
        if cell.kind == VOICE:
            raise NotSupported("a model that is an ONNX file")
        if dtype not in _WAYS:
            raise NotSupported(f"{dtype}: quantize_dynamic has none")
        return [
            variant
            for name, kind in _WAYS[dtype]
            for variant in self._way(cell, case, name, kind)
        ]

    def _way(self, cell: Cell, case: Case, name: str, kind: torch.dtype) -> list[Variant]:
        inputs = {
            value: _tensor(time_first(x), _numbers(kind) if x.dtype.kind == "f" else torch.int64)
            for value, x in case.inputs.items()
        }
        if cell.kind == LENGTHS:
            if name == "autocast":
                return []  # the modules of 16 bits stand for both
            return _unequal(case, next(iter(inputs.values())), kind)
        key = cell.network, cell.kind, name, kind
        if key not in self._networks:
            self._networks[key] = Network(
                with_states(case.graph) if cell.kind == STREAM else case.graph, kind, name == "autocast"
            )
        network = self._networks[key]
        if cell.kind == STREAM:
            return [_stream(network, case, next(iter(inputs.values())), name)]

        def outputs() -> Outputs:
            return {output: _house(y) for output, y in zip(case.graph.outputs, network(inputs))}

        return [Variant(name, lambda: network(inputs), outputs)]

    def store(self, case: Case, path: str) -> str:
        node = case.graph.nodes[0]
        assert isinstance(node, Recurrent)
        torch.save(_recurrent_module(node, torch.float32).state_dict(), path + ".pt")
        return path + ".pt"

    def load(self, path: str, threads: int) -> Loaded:
        state = torch.load(path, weights_only=True)
        rows, features = state["weight_ih_l0"].shape
        with torch.device("meta"):
            module = nn.LSTM(features, rows // 4)
        module.load_state_dict(state, assign=True)
        module.eval()
        return lambda case: {
            case.graph.outputs[0]: _house(
                module(torch.from_numpy(time_first(next(iter(case.inputs.values())))))[0]
            )
        }


def _stream(network: Network, case: Case, x: torch.Tensor, name: str) -> Variant:
    """One step a call; the states that come out go in again."""
    x_name, *states_in = (value.name for value in network.graph.inputs)
    zeros = {
        value.name: torch.zeros(x.shape[1], int(value.shape[1]), dtype=x.dtype) for value in network.graph.inputs[1:]
    }
    current = {x_name: x[:1], **zeros}

    def step() -> torch.Tensor:
        y, *states = network(current)
        current.update(zip(states_in, states))
        return y

    def outputs() -> Outputs:
        current.update(zeros)
        ys = []
        for t in range(len(x)):
            current[x_name] = x[t : t + 1]
            ys.append(_house(step())[:, 0])
        return {case.graph.outputs[0]: np.stack(ys, axis=1)}

    return Variant(name, step, outputs)


def _unequal(case: Case, x: torch.Tensor, dtype: torch.dtype) -> list[Variant]:
    """Packed sequences (the packing is timed, unpacking is not), batches by length, and padding."""
    node, lengths = case.graph.nodes[0], case.lengths
    assert isinstance(node, Recurrent) and len(case.graph.nodes) == 1 and lengths is not None
    module, out = _recurrent_module(node, dtype), case.graph.outputs[0]
    own_lengths = torch.from_numpy(lengths.astype(np.int64))
    rows = batches_by_length(lengths)
    buckets = [x[: int(lengths[own].max()), own].contiguous() for own in rows]

    def packed() -> nn.utils.rnn.PackedSequence:
        return module(nn.utils.rnn.pack_padded_sequence(x, own_lengths, enforce_sorted=False))[0]

    def unpacked() -> Outputs:
        return {out: _house(nn.utils.rnn.pad_packed_sequence(packed(), total_length=len(x))[0])}

    def bucketed() -> list[torch.Tensor]:
        return [module(bucket)[0] for bucket in buckets]

    def whole() -> Outputs:
        parts = [_house(part) for part in bucketed()]
        return {out: real_steps(unbatched(parts, rows, len(lengths), len(x)), lengths)}

    return [
        Variant("packed", packed, unpacked),
        Variant("bucketed", bucketed, whole),
        Variant("padded", lambda: module(x), lambda: {out: real_steps(_house(module(x)[0]), lengths)}),
    ]


def create() -> Torch:
    return Torch()
