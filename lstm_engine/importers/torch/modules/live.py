"""Live torch modules, known by the names of their classes alone: torch is never imported here.

A class counts as torch's own if the `forward` it runs is defined in a class of `torch.nn`: a subclass with a
forward of its own computes something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from ....errors import ArgumentError, UnsupportedError
from ...reading.weights import Entry, Weights
from ..state_dict.layers import Stack, find_layers
from ..state_dict.propose import connected, stack_nodes
from ..ways import HOW

RECURRENT = ("LSTM", "GRU", "RNN")
NOTHING = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "Identity")
PLAIN = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "SELU": "selu", "SiLU": "silu",
         "Mish": "mish", "Softsign": "softsign", "LogSigmoid": "log_sigmoid", "Hardswish": "hard_silu"}


def refuse_quantised(module: Any) -> None:
    """Raise UnsupportedError for a module with quantised layers, whose weights are in no state that can be taken."""
    for name, part in module.named_modules():
        if type(part).__module__.startswith(("torch.ao.nn.quantized.", "torch.nn.quantized.")):
            raise UnsupportedError(f"the layer {name!r} is quantised, and a live one is not read. Convert the module "
                                   "as it was before, or save it and convert the file: its state_dict, or a whole "
                                   "nn.Sequential (docs/torch.md)")


def weights_of(module: Any) -> Weights:
    """The state dict of a module, its tensors brought to the CPU when they are asked for."""
    return Weights({name: _entry(name, tensor) for name, tensor in module.state_dict().items()
                    if hasattr(tensor, "detach")})


def _entry(name: str, tensor: Any) -> Entry:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta or tensor.is_quantized or tensor.is_sparse:
        raise UnsupportedError(f"tensor {name!r} is {'meta' if tensor.is_meta else 'quantized or sparse'}: it has no "
                               "plain values")

    def load() -> np.ndarray:
        plain = tensor.detach().cpu()
        # A copy, so that training the module further does not change the graph.
        return np.array((plain.float() if dtype in ("bfloat16", "float16") else plain).numpy(), order="C")

    return Entry(tuple(tensor.shape), "float32" if dtype in ("bfloat16", "float16") else dtype, load)


def is_chain_of_ours(module: Any) -> bool:
    """Whether a module is an nn.Sequential that torch itself cannot run, for a recurrent layer gives a tuple to the
    next part. Here such a chain has one meaning: each layer's output, batch first, goes on to the next."""
    parts = [_kind(part) for _, part in _flat(module, "", hooks=False)] if _kind(module) == "Sequential" else []
    return any(kind in RECURRENT for kind in parts[:-1])


def spec_of_chain(module: Any, weights: Weights, pool: str | None) -> dict[str, Any]:
    """The spec of one layer of torch.nn or an nn.Sequential of them. Raises UnsupportedError, ArgumentError."""
    if _kind(module) not in ("Sequential", *RECURRENT, "Linear", "Embedding"):
        raise ArgumentError(f"pool is for weights alone and for plain chains of layers; {type(module).__qualname__} "
                            "says itself what it computes: leave pool out")
    return _sequence(list(_flat(module, "")), weights, pool)


def examples_of(module: Any, given: Any) -> Any:
    """The arguments to trace a module on: those given, or made up where its first layer settles them.

    Raises ArgumentError with the line to type.
    """
    if given is not None:
        return given
    parts = [part for _, part in _flat(module, "", hooks=False) if _kind(part) not in NOTHING]
    first, kinds = parts[0] if parts else module, [_kind(part) for part in parts]
    if kinds and kinds[0] in RECURRENT:
        return (_zeros(module, 3, 5, first.input_size),)
    if kinds and kinds[0] == "Embedding":
        return (np.arange(15).reshape(3, 5) % first.num_embeddings,)
    if kinds and kinds[0] == "Linear":
        sequence = any(kind in RECURRENT for kind in kinds)
        return (_zeros(module, *((3, 5) if sequence else (3,)), first.in_features),)
    raise ArgumentError(f"what {type(module).__qualname__}.forward takes cannot be told from outside; say it with an "
                        "example of at least 2 rows and 2 steps: "
                        f"le.convert(module, example_inputs=({suggested_example(module)},))")


def _zeros(module: Any, *shape: int) -> Any:
    """A tensor of zeros in the dtype of the weights."""
    return next(module.parameters()).new_zeros(shape)


def suggested_example(module: Any) -> str:
    """An example that fits the first layer inside a module, for a message."""
    for part in module.modules():
        if _kind(part) in RECURRENT:
            return f"torch.zeros(2, 10, {part.input_size})"
        if _kind(part) == "Embedding":
            return "torch.zeros(2, 10, dtype=torch.int64)"
    return "torch.zeros(2, 10, 8)"


def _kind(module: Any) -> str | None:
    """The name of the torch.nn class whose forward this module runs, or None for a forward of the user's own."""
    for kind in type(module).__mro__:
        if "forward" in vars(kind):
            return kind.__name__ if kind.__module__.startswith("torch.nn.") else None
    return None


def _flat(module: Any, path: str, hooks: bool = True) -> Iterator[tuple[str, Any]]:
    """The layers of nested nn.Sequential modules in order, by path. hooks: refuse modules that have any."""
    if hooks:
        _check_hooks(path, module)
    if _kind(module) != "Sequential":
        yield path, module
        return
    for name, part in module._modules.items():
        yield from _flat(part, f"{path}.{name}" if path else name, hooks)


def _check_hooks(path: str, module: Any) -> None:
    if getattr(module, "_forward_hooks", None) or getattr(module, "_forward_pre_hooks", None):
        raise UnsupportedError(f"module {path!r} has forward hooks, which could change what it computes")


def _refuse(path: str, module: Any, message: str) -> NoReturn:
    raise UnsupportedError(f"module {path!r} ({type(module).__qualname__}): {message}. To convert it, {HOW}")


def _sequence(parts: list[tuple[str, Any]], weights: Weights, pool: str | None) -> dict[str, Any]:
    stacks = {stack.path: stack for stack in find_layers(weights).stacks}
    last_recurrent = max((index for index, (_, part) in enumerate(parts) if _kind(part) in RECURRENT), default=-1)
    if last_recurrent < 0:
        raise UnsupportedError("no recurrent layer among the modules: "
                               f"{', '.join(type(part).__qualname__ for _, part in parts)}")
    nodes: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []
    for index, (path, part) in enumerate(parts):
        kind = _kind(part)
        if not inputs and kind not in NOTHING:
            inputs.append(_input(path, part, kind, stacks, weights))
        if kind in RECURRENT:
            nodes += _recurrent(path, part, stacks)
        elif kind == "Linear":
            nodes.append({"op": "Dense", "name": path, "torch": path, "activation": "linear"})
        elif kind == "Embedding":
            if part.max_norm is not None:
                _refuse(path, part, "max_norm rescales rows while the model runs, which is not supported")
            nodes.append({"op": "Embedding", "name": path, "torch": path})
        elif kind not in NOTHING:
            pooled = pool is not None and index > last_recurrent
            activation = _activation(path, part, kind, rank=2 if pooled else 3)
            if nodes and nodes[-1].get("activation") == "linear":
                nodes[-1]["activation"] = activation
            else:
                nodes.append({"op": "Activate", "name": path, "activation": activation})
        if pool is not None and index == last_recurrent:
            if pool == "last" and part.bidirectional:
                _refuse(path, part, "pool \"last\" after a bidirectional layer can mean output[:, -1] or the last "
                                    "state of both directions (Y_h)")
            nodes.append({"op": "Pool", "name": f"pool_{pool}", "kind": pool})
    return connected(inputs, nodes)


def _input(path: str, part: Any, kind: str | None, stacks: Mapping[str, Stack], weights: Weights) -> dict[str, Any]:
    if kind == "Embedding":
        return {"name": "ids", "shape": ["batch", "time"], "dtype": "int32"}
    if kind not in (*RECURRENT, "Linear"):
        _refuse(path, part, "a model begins with an Embedding, a Linear or a recurrent layer")
    features = stacks[path].features if kind in RECURRENT else int(part.in_features)
    return {"name": "input", "shape": ["batch", "time", features], "dtype": weights.dtype(weights.names[0])}


def _recurrent(path: str, part: Any, stacks: Mapping[str, Stack]) -> list[dict[str, Any]]:
    if path not in stacks or len(stacks[path].layers) != part.num_layers:
        _refuse(path, part, f"its state dict has {len(stacks[path].layers) if path in stacks else 0} of "
                            f"{part.num_layers} layers")
    nonlinearity = str(getattr(part, "nonlinearity", "tanh"))
    if nonlinearity not in ("tanh", "relu"):
        _refuse(path, part, f"nonlinearity {nonlinearity!r} is not known")
    return stack_nodes(stacks[path], nonlinearity)


def _activation(path: str, part: Any, kind: str | None, rank: int) -> Any:
    """An activation module in the graph's words; `rank` is that of the values it is applied to."""
    if kind in PLAIN:
        return PLAIN[kind]
    if kind == "LeakyReLU":
        return {"name": "leaky_relu", "alpha": float(part.negative_slope)}
    if kind == "ELU":
        return {"name": "elu", "alpha": float(part.alpha)}
    if kind == "Hardsigmoid":
        return {"name": "hard_sigmoid", "alpha": 1 / 6, "beta": 0.5}
    limits = {(-1.0, 1.0): "hard_tanh", (0.0, 6.0): "relu6"}        # nn.ReLU6 is an nn.Hardtanh
    if kind == "Hardtanh" and (part.min_val, part.max_val) in limits:
        return limits[part.min_val, part.max_val]
    if kind == "GELU":
        return "gelu_tanh" if part.approximate == "tanh" else "gelu"
    if kind == "Softplus" and part.beta == 1 and part.threshold >= 20:     # above 20 float32 cannot tell it from x
        return "softplus"
    if kind in ("Softmax", "LogSoftmax") and part.dim in (-1, rank - 1):
        return "softmax" if kind == "Softmax" else "log_softmax"
    _refuse(path, part, f"is not supported here; supported: Embedding, {', '.join(RECURRENT)}, Linear, Dropout, "
                        f"{', '.join(PLAIN)}, LeakyReLU, ELU, Hardsigmoid, ReLU6, Hardtanh(-1, 1), GELU, "
                        "Softplus(beta=1), "
                        "Softmax and LogSoftmax over the last axis")
