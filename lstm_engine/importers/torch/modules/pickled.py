"""Whole pickled modules (`torch.save(model)`), read where the file alone proves what they compute.

A pickle names the class of every module; the code of a `forward` is not in it. So what is read is what classes of
torch settle by themselves: one nn.LSTM, nn.GRU or nn.RNN, or an nn.Sequential that ends in one. All else is refused by
name, with the way to a program that holds everything. Dropout counts as in evaluation: as nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ....errors import FormatError, UnsupportedError
from ...arrays.torch_layers import names_of_layer
from ...reading.weights import Weights
from ..checkpoints.symbols import Instance, Symbol
from ..state_dict.layers import Stack, find_layers
from ..state_dict.propose import connected, stack_nodes
from ..ways import EXPORT

_SEQUENTIAL = "torch.nn.modules.container.Sequential"
_WRAPPERS = ("torch.nn.parallel.data_parallel.DataParallel", "torch.nn.parallel.distributed.DistributedDataParallel")
_RECURRENT = {f"torch.nn.modules.rnn.{kind}": kind for kind in ("LSTM", "GRU", "RNN")}
_LINEAR = "torch.nn.modules.linear.Linear"
_EMBEDDING = "torch.nn.modules.sparse.Embedding"
_NOTHING = {"torch.nn.modules.linear.Identity", *(f"torch.nn.modules.dropout.{kind}" for kind in (
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"))}
_PLAIN = {"ReLU": "relu", "ReLU6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "SELU": "selu", "SiLU": "silu",
          "Mish": "mish", "Softsign": "softsign", "LogSigmoid": "log_sigmoid", "Softplus": "softplus",
          "Hardtanh": "hard_tanh", "LeakyReLU": "leaky_relu", "ELU": "elu", "GELU": "gelu", "Softmax": "softmax",
          "LogSoftmax": "log_softmax", "Hardswish": "hard_silu", "Hardsigmoid": "hard_sigmoid"}
_ACTIVATIONS = {f"torch.nn.modules.activation.{kind}": kind for kind in _PLAIN}
_LAST_AXIS = (-1, 2)               # of [batch, time, features]


@dataclass(frozen=True)
class _Part:
    """One module of a chain: where it is, its class, and its attributes."""

    path: str
    kind: str
    state: Mapping[str, Any]

    def refuse(self, message: str) -> NoReturn:
        raise UnsupportedError(f"the module {self.path!r:.100} ({self.kind!r:.100}): {message}. {EXPORT}")


def spec_of_pickled(module: Instance, weights: Weights) -> dict[str, Any]:
    """The spec of a whole pickled module that its classes prove to be a chain.

    The inputs are those of the module: time first where its recurrent layer says so. Raises UnsupportedError naming
    the module that is not provable, FormatError for attributes that contradict the weights.
    """
    parts = [part for part in _flat(module, "") if part.kind not in _NOTHING]
    recurrent = next((place for place, part in enumerate(parts) if part.kind in _RECURRENT), None)
    if recurrent is None:
        raise UnsupportedError("no recurrent layer among the modules: "
                               f"{', '.join(f'{part.kind!r:.100}' for part in parts[:8]) or 'none'}")
    if recurrent < len(parts) - 1:
        parts[recurrent + 1].refuse(f"it stands behind {parts[recurrent].path!r:.100}, which gives a pair (output, "
                                    "state): torch itself cannot run this")
    last = parts[recurrent]
    stack = _stack(last, weights)
    nodes = [_node(part, place) for place, part in enumerate(parts[:-1])]
    turned = not _flag(last, "batch_first", False)
    steps = ["time", "batch"] if turned else ["batch", "time"]
    turn = {"op": "Operator", "op_type": "Transpose", "attributes": {"perm": [1, 0, 2]}}
    nonlinearity = {"RNN_RELU": "relu"}.get(last.state.get("mode", ""), "tanh")
    nodes += [{**turn, "name": "batch_first"}] if turned else []
    nodes += stack_nodes(stack, nonlinearity)
    nodes += [{**turn, "name": "time_first"}] if turned else []
    return connected([_input(parts, stack, steps, weights)], nodes)


def _flat(module: Any, path: str) -> Iterator[_Part]:
    """The layers of nested containers in order. Raises UnsupportedError for what is not provably a chain.

    The walk over the weights has bounded the depth and the number of modules.
    """
    if not isinstance(module, Instance) or not isinstance(module.state, dict):
        raise UnsupportedError(f"the module {path!r:.100} is a {type(module).__name__}. {EXPORT}")
    part = _Part(path, str(module.symbol), module.state)
    _check_plain(part)
    inner = module.state.get("_modules", {})
    if part.kind in (_SEQUENTIAL, *_WRAPPERS):
        if not isinstance(inner, dict) or (part.kind in _WRAPPERS and list(inner) != ["module"]):
            raise FormatError(f"the module {path!r:.100} ({part.kind!r:.100}) has no modules inside")
        for name, child in inner.items():
            # The prefix of a wrapper around the whole is taken off the names of the weights too.
            yield from _flat(child, f"{path}.{name}" if path else "" if part.kind in _WRAPPERS else str(name))
        return
    known = (*_RECURRENT, *_NOTHING, *_ACTIVATIONS, _LINEAR, _EMBEDDING)
    if part.kind not in known:
        if not part.kind.startswith("torch.nn."):
            part.refuse("what its forward computes is code, which the file does not hold")
        part.refuse("is not read from a pickled module; read are nn.Sequential of Embedding, Linear, Dropout, Identity "
                    f"and {', '.join(_PLAIN)}, and one LSTM, GRU or RNN at its end")
    if inner:
        part.refuse("it has modules inside, which its class does not use")
    yield part


def _check_plain(part: _Part) -> None:
    """Refuse what could change what torch's class computes: hooks, and attributes that are no plain data."""
    for name, value in part.state.items():
        if isinstance(name, str) and name.startswith("_forward") and value:
            part.refuse("it has forward hooks, which are code that the file does not hold")
        if isinstance(value, (Symbol, Instance)):
            what = value if isinstance(value, Symbol) else value.symbol
            part.refuse(f"its attribute {name!r:.100} is {str(what)!r:.100}, code that the file does not hold")


def _flag(part: _Part, name: str, default: bool) -> bool:
    value = part.state.get(name, default)
    if not isinstance(value, bool):
        raise FormatError(f"the module {part.path!r:.100} ({part.kind!r:.100}): {name} must be true or false, got "
                          f"{value!r:.50}")
    return value


def _stack(part: _Part, weights: Weights) -> Stack:
    """The layers of a recurrent module, if its attributes and its weights say the same."""
    stack = next((stack for stack in find_layers(weights).stacks if stack.path == part.path), None)
    kind = _RECURRENT[part.kind]
    modes = ("RNN_TANH", "RNN_RELU") if kind == "RNN" else (kind,)
    said = {"kind": kind, "layers": part.state.get("num_layers"), "bidirectional": part.state.get("bidirectional"),
            "features": part.state.get("input_size"), "hidden": part.state.get("hidden_size"),
            "bias": part.state.get("bias"), "proj_size": part.state.get("proj_size", 0)}      # 0 before there was any
    has: dict[str, Any] = {}
    if stack is not None:
        names, first = names_of_layer(weights, stack.path, 0), stack.layers[0]
        has = {"kind": stack.op, "layers": len(stack.layers), "bidirectional": stack.bidirectional,
               "features": stack.features, "hidden": first.hidden, "bias": "bias_ih" in names,
               "proj_size": first.output if "weight_hr" in names else 0}
    if stack is None or stack.cell or said != has or part.state.get("mode") not in modes:
        raise FormatError(f"the module {part.path!r:.100} ({part.kind!r:.100}) says {str(said):.300}, mode "
                          f"{part.state.get('mode')!r:.50}, and its weights {str(has):.300}")
    nonlinearity = part.state.get("nonlinearity")
    if kind == "RNN" and nonlinearity is not None and part.state["mode"] != f"RNN_{str(nonlinearity).upper()}":
        raise FormatError(f"the module {part.path!r:.100} has the mode {part.state['mode']!r} and the nonlinearity "
                          f"{nonlinearity!r:.50}")
    return stack


def _input(parts: list[_Part], stack: Stack, steps: list[str], weights: Weights) -> dict[str, Any]:
    """The input of the chain: what its first layer with weights reads."""
    if parts[0].kind == _EMBEDDING:
        return {"name": "ids", "shape": steps, "dtype": "int32"}
    first = next(part for part in parts if part.kind not in _ACTIVATIONS)
    name = f"{first.path}.weight" if first.kind == _LINEAR else names_of_layer(weights, stack.path, 0)["weight_ih"]
    return {"name": "input", "shape": [*steps, weights.shape(name)[-1]], "dtype": weights.dtype(name)}


def _node(part: _Part, place: int) -> dict[str, Any]:
    """The node of a layer in front of the recurrent one."""
    if part.kind == _LINEAR:
        return {"op": "Dense", "name": part.path, "torch": part.path, "activation": "linear"}
    if part.kind == _EMBEDDING:
        if place:
            part.refuse("token ids enter at the beginning alone")
        if part.state.get("max_norm") is not None:
            part.refuse("max_norm rescales rows while the model runs")
        return {"op": "Embedding", "name": part.path, "torch": part.path}
    return {"op": "Activate", "name": part.path, "activation": _activation(part)}


def _activation(part: _Part) -> Any:
    """An activation module in the graph's words. Raises UnsupportedError for parameters that these do not have."""
    kind, state = _ACTIVATIONS[part.kind], part.state
    name = _PLAIN[kind]
    if kind in ("Softmax", "LogSoftmax") and state.get("dim") not in _LAST_AXIS:
        part.refuse(f"dim={state.get('dim')!r:.50} is not the last axis of [batch, time, features] for certain")
    if kind == "Hardtanh" and (state.get("min_val"), state.get("max_val")) != (-1.0, 1.0):
        part.refuse("its limits are not -1 and 1")
    if kind == "Softplus" and (state.get("beta") != 1 or not _number(part, "threshold") >= 20):
        part.refuse("beta is not 1, or threshold below 20")     # above 20 float32 cannot tell it from x
    if kind == "GELU":
        approximate = state.get("approximate", "none")          # files of old versions have no such attribute
        if approximate not in ("none", "tanh"):
            part.refuse(f"approximate={approximate!r:.50} is not known")
        return "gelu_tanh" if approximate == "tanh" else name
    if kind in ("LeakyReLU", "ELU"):
        return {"name": name, "alpha": _number(part, "negative_slope" if kind == "LeakyReLU" else "alpha")}
    return {"name": name, "alpha": 1 / 6, "beta": 0.5} if kind == "Hardsigmoid" else name


def _number(part: _Part, name: str) -> float:
    value = part.state.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"the module {part.path!r:.100} ({part.kind!r:.100}): {name} must be a number, "
                          f"got {value!r:.50}")
    return float(value)
