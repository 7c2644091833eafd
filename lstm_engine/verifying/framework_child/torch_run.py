"""Exported programs and TorchScript in PyTorch, and live modules."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .measure import Opened, Run, is_weight, nudged


def open_exported(source: str, threads: int | None) -> Opened:
    """A `.pt2`: a program as data, which torch rebuilds and runs."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    program = torch.export.load(source)
    tree = program.call_spec.in_spec
    user = set(program.graph_signature.user_inputs)
    made = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in user]
    wanted = [{"name": name, "dtype": str(value.dtype).removeprefix("torch."),
               "shape": [size if isinstance(size, int) else None for size in value.shape]}
              for name, value in zip(program.graph_signature.user_inputs, made, strict=True)]
    return torch_module(lambda: torch.export.load(source).module(), wanted, tree)


def open_torchscript(source: str, threads: int | None) -> Opened:
    """A TorchScript archive: code, which torch compiles and runs."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    load: Any = torch.jit.load          # torch declares no types for it
    return torch_module(lambda: load(source, map_location="cpu").eval())


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for torch, and for Keras on it, in this process, then as many as before."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def torch_module(make: Callable[[], Any], wanted: Sequence[dict[str, Any]] = (), tree: Any = None) -> Opened:
    """A torch module, made anew by `make` for float64; its weights are moved and put back. `tree` says how its inputs
    are nested."""
    import torch

    def run_of(module: Any, wide: bool = False) -> Run:
        first = next((weight.dtype for weight in module.parameters() if weight.dtype.is_floating_point), None)

        def to_tensor(array: np.ndarray, place: int) -> Any:
            tensor = torch.from_numpy(np.array(array))
            if array.dtype.kind == "f":
                asked = wanted[place]["dtype"] if place < len(wanted) and not wide else None
                return tensor.to(getattr(torch, asked) if asked else first or tensor.dtype)
            if place < len(wanted):
                return tensor.to(getattr(torch, wanted[place]["dtype"]))
            return tensor.to(torch.int64) if array.dtype.kind in "iu" else tensor

        def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
            tensors = [to_tensor(array, place) for place, array in enumerate(given)]
            with torch.no_grad():
                if tree is not None:
                    arguments, options = torch.utils._pytree.tree_unflatten(tensors, tree)
                    outputs = module(*arguments, **options)
                else:
                    outputs = module(*tensors)
            return [output.detach().cpu().numpy() for output in torch.utils._pytree.tree_leaves(outputs)
                    if isinstance(output, torch.Tensor)]
        return run

    module = make()
    run_as_is = run_of(module)

    def moved(rng: np.random.Generator) -> Run:
        weights = [(weight, weight.detach().clone()) for weight in [*module.parameters(), *module.buffers()]
                   if weight.dtype in _torch_floats() and is_weight(weight.detach().cpu().numpy())]
        others = [torch.from_numpy(nudged(own.cpu().numpy(), rng)) for _, own in weights]

        def with_moved_weights(names: list[str], given: list[np.ndarray]) -> list[Any]:
            with torch.no_grad():
                try:
                    for (weight, _), other in zip(weights, others, strict=True):
                        weight.copy_(other)
                    return [output.copy() for output in run_as_is(names, given)]
                finally:
                    for weight, own in weights:
                        weight.copy_(own)
        return with_moved_weights

    return Opened(f"torch {torch.__version__}", [], run_as_is, list(wanted), moved,
                  lambda: run_of(_wide(make()), wide=True))


def _wide(module: Any) -> Any:
    module.double()
    return module


def _torch_floats() -> tuple[Any, ...]:
    import torch

    return torch.float16, torch.float32, torch.float64
