"""Modules made ready for torch.export: packed sequences and what else torch would ask numbers for while it traces.

torch looks into `batch_sizes`, whose numbers tracing does not have. Here packing, the recurrent layers on packed
sequences and padding become operators of ours that torch does not look into; `sequences` reads them back as what they
compute: a layer over padded steps that knows the lengths. Only forwards that are torch's own are replaced, in the copy
that is traced.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .own import packed_operators


def prepare(module: Any) -> None:
    """Replace in a copy of a module what torch cannot trace: layers inside it, and named tuples at its boundary."""
    from torch import nn

    made_for: list[tuple[Any, Callable[[Any, Any], Any]]] = [
        *((kind, _packed_forward) for kind in (nn.LSTM, nn.GRU, nn.RNN)),
        (nn.TransformerEncoder, lambda _, forward: _without_hint(forward, "is_causal")),
        (nn.TransformerDecoder, lambda _, forward: _without_hint(forward, "tgt_is_causal"))]
    for part in module.modules():
        for kind, made in made_for:
            if part is not module and isinstance(part, kind) and type(part).forward is kind.forward:
                setattr(part, "forward", functools.wraps(part.forward)(made(part, part.forward)))      # noqa: B010


def without_parametrizations(module: Any) -> None:
    """Leave the weights that parametrizations give, in a copy in eval mode: they are what runs.

    torch's own way, remove_parametrizations, takes the property from the class, which the copy has in common with the
    module that must stay as it is.
    """
    import torch
    from torch.nn.utils import parametrize

    for part in list(module.modules()):
        plain_class = type(part).__bases__[0]
        if not parametrize.is_parametrized(part) or type(part).__name__ != f"Parametrized{plain_class.__name__}":
            continue
        with torch.no_grad():
            weights = {name: getattr(part, name).detach().clone() for name in part.parametrizations}
        del part._modules["parametrizations"]
        part.__class__ = plain_class
        for name, weight in weights.items():
            setattr(part, name, torch.nn.Parameter(weight, requires_grad=False))


def _without_hint(forward: Callable[..., Any], hint: str) -> Callable[..., Any]:
    """torch compares the mask with a causal one where the hint is left out, to run faster; here it is used as it is."""
    signature = inspect.signature(forward)

    def run(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        if given.arguments[hint] is None:
            given.arguments[hint] = False
        return forward(*given.args, **given.kwargs)
    return run


def _packed_forward(layer: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's forward, for packed sequences through our operators."""
    import torch
    from torch.nn.utils.rnn import PackedSequence

    def run(input: Any, hx: Any = None) -> Any:
        if not isinstance(input, PackedSequence) or not hasattr(input.batch_sizes, ROWS):
            return forward(input, hx)
        data, sizes, order, back = input
        layer._update_flat_weights()
        weights = layer._flat_weights
        name = "lstm" if layer.mode == "LSTM" else "gru" if layer.mode == "GRU" else layer.mode.lower()
        if hx is None:
            count = layer.num_layers * (2 if layer.bidirectional else 1)
            widths = [layer.proj_size or layer.hidden_size, layer.hidden_size][:2 if name == "lstm" else 1]
            states = [torch.zeros(count, getattr(sizes, ROWS), width, dtype=data.dtype) for width in widths]
        else:
            hx = layer.permute_hidden(hx, order)
            states = list(hx) if name == "lstm" else [hx]
            for state in states:
                same_size(state.shape[1], getattr(sizes, ROWS))
        made = packed_operators()[name](data, sizes, states, list(weights), layer.bias, layer.num_layers,
                                        float(layer.dropout), layer.training, layer.bidirectional)
        hidden = tuple(made[1:]) if name == "lstm" else made[1]
        return PackedSequence(made[0], sizes, order, back), layer.permute_hidden(hidden, back)
    return run


ROWS = "_lstm_engine_rows"      # on the batch sizes of a packed sequence: the number of its rows, which torch can trace


def same_size(size: Any, wanted: Any) -> None:
    """Have torch find, by a branch on it, that two sizes are one: its own kernels take it for granted."""
    if size != wanted:
        raise ValueError(f"a packed sequence of {wanted} rows with lengths or states of {size}")


def pack(input: Any, lengths: Any, batch_first: Any) -> Any:
    """torch._pack_padded_sequence as an operator of ours."""
    import torch

    rows, steps = input.shape[0 if batch_first else 1], input.shape[1 if batch_first else 0]
    same_size(lengths.shape[0], rows)
    data, sizes = packed_operators()["pack"](input, lengths, bool(batch_first))
    setattr(sizes, ROWS, rows)
    torch._check(sizes.shape[0] <= steps)       # type: ignore[no-untyped-call]
    return data, sizes


def pad(data: Any, sizes: Any, batch_first: Any, padding_value: float, total_length: Any) -> Any:
    """torch._pad_packed_sequence as an operator of ours."""
    return packed_operators()["pad"](data, sizes, bool(batch_first), float(padding_value), total_length,
                                     getattr(sizes, ROWS))


# ---- named tuples at the boundary -----------------------------------------------------------------------------------


def rebuilt(value: Any, items: list[Any]) -> Any:
    """A tuple or list of the kind of `value`, a named tuple too."""
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def plain(value: Any) -> Any:
    """Named tuples as tuples, dicts of other classes as dicts, all the way down."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def with_plain_boundary(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Have a module take its arguments without named tuples and give its outputs so; the arguments that it takes."""
    forward = module.forward

    @functools.wraps(forward)
    def run(*given: Any) -> Any:
        return plain(forward(*(_like(template, value) for template, value in zip(arguments, given))))
    module.forward = run
    taken: tuple[Any, ...] = plain(arguments)
    return taken


def _like(template: Any, value: Any) -> Any:
    if isinstance(template, (tuple, list)):
        return rebuilt(template, [_like(part, item) for part, item in zip(template, value)])
    if isinstance(template, dict):
        return {key: _like(template[key], item) for key, item in value.items()}
    return value
