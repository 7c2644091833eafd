"""Live modules as programs: torch.export in eval mode, of a copy, so that the module stays as it is.

The archive that export writes is kept in memory and read like a file: there is one way from a program to the graph.
Recurrent layers are kept whole while torch traces: its own shape functions run through every step, which would fix
the number of steps.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ....errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ....graph import Graph
from .own import own_operators
from .packed import pack, pad, prepare, rebuilt, with_plain_boundary, without_parametrizations

LONGEST_REASON = 300
MOST_AXES, SEQUENCE_AXES = 64, 2        # of an input that are left open: all, or its rows and steps alone
LEAST = 2               # rows and steps of an example: torch takes a size of 1 for a constant
WAY_OUT = ("Change that part of forward (a condition on values becomes torch.where; a packed sequence is padded to "
           "total_length=x.size(1), or is a padded one, with `lengths` given to predict; an output of a class of your "
           "own a tuple or dict), or export it yourself: torch.export.save(torch.export.export(module.eval(), "
           "example_inputs), \"model.pt2\"), and convert that file")


def graph_of_module(module: Any, example_inputs: Sequence[Any]) -> Graph:
    """The graph of a live module, traced on example inputs. Raises UnsupportedError with torch's own reason."""
    from . import read_bytes

    copied, arguments = frozen(module), tensors(example_inputs)
    prepare(copied)
    arguments = with_plain_boundary(copied, arguments)

    def graph(axes: int) -> Graph:
        archive = _exported(copied, arguments, axes)
        return read_bytes(archive, archive.getbuffer().nbytes)

    try:
        return graph(MOST_AXES)
    except UnsupportedError as error:       # of features whose number is open, it may be
        if all(tensor.dim() <= SEQUENCE_AXES for tensor in leaves(arguments)):
            raise
        try:
            return graph(SEQUENCE_AXES)
        except UnsupportedError:
            raise error from None


def frozen(module: Any) -> Any:
    """A copy of a module on the CPU, in eval mode. Raises UnsupportedError if it cannot be copied."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta or tensor.is_quantized or tensor.is_sparse:
            raise UnsupportedError(f"tensor {name!r} is {'meta' if tensor.is_meta else 'quantized or sparse'}: it has "
                                   "no plain values")
    try:
        copied = copy.deepcopy(module, _computed(module))
        copied.cpu()                # not all classes of their own hand themselves on from these
        copied.eval()
        without_parametrizations(copied)
        return copied
    except Exception as error:      # whatever the module's own classes raise
        raise UnsupportedError(f"{type(module).__qualname__} cannot be copied ({reason(error)}), so it would not stay "
                               "as it is while it is traced") from error


def _computed(module: Any) -> dict[int, Any]:
    """Copies of what a module has computed and kept, by id: the weight that nn.utils.weight_norm makes, a state from
    the call before. deepcopy copies only tensors that nothing was computed for."""
    import torch

    kept = [value for part in module.modules() for value in vars(part).values()]
    return {id(tensor): tensor.detach().clone() for tensor in leaves(kept)
            if isinstance(tensor, torch.Tensor) and not tensor.is_leaf}


def tensors(example_inputs: Any) -> tuple[Any, ...]:
    """Example inputs as the arguments of forward: NumPy arrays become tensors, sizes of 1 are widened by repeating.

    Raises ArgumentTypeError, ArgumentError.
    """
    import numpy as np
    import torch

    if isinstance(example_inputs, (torch.Tensor, np.ndarray)):
        example_inputs = (example_inputs,)
    if not isinstance(example_inputs, (tuple, list)) or not example_inputs:
        raise ArgumentTypeError("example_inputs must be a tuple of the arguments of forward, such as "
                                f"(torch.zeros(2, 10, 8),), got {type(example_inputs).__name__}")

    def taken(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, torch.Tensor):
            if not value.numel():
                raise ArgumentError(f"example_inputs must not be empty, got a tensor {list(value.shape)}")
            return value.detach().cpu().clone()
        if isinstance(value, (tuple, list)):
            return rebuilt(value, [taken(item) for item in value])
        if isinstance(value, dict):
            return {key: taken(item) for key, item in value.items()}
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise ArgumentTypeError(f"example_inputs must hold tensors or arrays, got {type(value).__qualname__}")

    return tuple(map(taken, example_inputs))


def leaves(value: Any) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dicts, in torch's order."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif hasattr(value, "detach"):
        yield value


def _exported(module: Any, arguments: tuple[Any, ...], axes: int) -> io.BytesIO:
    """The archive of a module; the first `axes` axes of each input are open where torch can leave them so."""
    import torch

    shapes: Any = torch.export.ShapesCollection()          # type: ignore[no-untyped-call]
    for tensor in leaves(arguments):
        if tensor.dim():
            shapes[tensor] = dict.fromkeys(range(min(tensor.dim(), axes)), torch.export.Dim.AUTO)
    file = io.BytesIO()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _quiet(), whole_layers():
            program = torch.export.export(module, arguments, dynamic_shapes=shapes, strict=False)
            torch.export.save(program, file)
    except Exception as error:      # torch raises what it likes, and so does forward
        raise UnsupportedError(f"torch.export cannot export {type(module).__qualname__}: {reason(error)}. "
                               f"{WAY_OUT}") from error
    file.seek(0)
    return file


def reason(error: Exception) -> str:
    """The first paragraph of a message of torch, in one line."""
    text = " ".join((str(error).strip() or "no reason given").split("\n\n")[0].split())
    text = text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "..."
    return f"{type(error).__name__}: {text}".rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and log lines of tracing, which speak of torch's own insides."""
    import logging

    logger = logging.getLogger("torch")
    level, disabled = logger.level, logger.disabled
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        logger.disabled = disabled


@contextmanager
def whole_layers() -> Iterator[None]:
    """Within it torch's recurrent layers are traced as single operators of ours, of the same arguments, and max_pool1d,
    which would fix its sizes as well, as max_pool2d."""
    import torch
    from torch.overrides import TorchFunctionMode

    own = own_operators()
    packing: dict[Any, Any] = {torch._pack_padded_sequence: pack, torch._pad_packed_sequence: pad}
    pools = (torch.max_pool1d, torch.nn.functional.max_pool1d)

    class Whole(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: tuple[Any, ...] = (),
                               kwargs: dict[str, Any] | None = None) -> Any:
            if function in pools and not (kwargs or {}).get("return_indices") and len(args) < 7:
                return _max_pool1d(*args, **(kwargs or {}))
            if function in packing and not kwargs:
                return packing[function](*args)
            replaced = own.get(function)
            if replaced is None or kwargs or len(args) != 9 or not isinstance(args[3], bool):
                return function(*args, **(kwargs or {}))
            x, states, weights, *options = args
            return replaced(x, list(states) if isinstance(states, (tuple, list)) else states, list(weights), *options)

    with Whole():
        yield


def _max_pool1d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                ceil_mode: bool = False, return_indices: bool = False) -> Any:
    """torch.max_pool1d as a max_pool2d over an axis of 1 and that of the steps."""
    import torch

    def both(value: Any, other: int) -> list[Any]:
        return [other, *(value if isinstance(value, (tuple, list)) else (value,))]

    strides = [] if stride is None or stride == () or stride == [] else both(stride, 1)
    pooled = torch.max_pool2d(input.unsqueeze(-2), both(kernel_size, 1), strides, both(padding, 0), both(dilation, 1),
                              ceil_mode)
    return pooled.squeeze(-2)
