"""Modules of tutorials and papers, small: what each is called, how it is made, what its forward takes.

The files beside this one (`torch_families_*`) register them. Axes that grow with the rows or the steps asked for are
open, all others belong to the model; torch says what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

SIZES = [(3, 6), (5, 9), (1, 6), (2, 7)]         # rows and steps; the example's first
VOCABULARY, FEATURES, HIDDEN = 23, 5, 6


@dataclass(frozen=True)
class Family:
    """One module and what it takes.

    make: the module. inputs: the arguments of forward for so many rows and steps, nested as forward takes them.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    inputs: Callable[[int, int], tuple[Any, ...]]


FAMILIES: dict[str, Family] = {}


def family(inputs: Callable[[int, int], tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Register a module class, by its name, whose forward takes `inputs`."""
    def register(kind: Any) -> Any:
        name = kind.__name__
        assert name not in FAMILIES
        FAMILIES[name] = Family(name, kind, inputs)
        return kind
    return register


def made(name: str) -> torch.nn.Module:
    """The module of a family with weights that are always the same, in eval mode."""
    torch.manual_seed(len(name))
    module: torch.nn.Module = FAMILIES[name].make().eval()
    with torch.no_grad():
        for buffer, tensor in module.named_buffers():       # statistics of training, which new modules have not had
            if buffer.endswith("running_mean"):
                tensor.normal_(0, 0.3)
            elif buffer.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
    return module


def arguments(name: str, rows: int, steps: int) -> tuple[Any, ...]:
    torch.manual_seed(100 * rows + steps)
    return FAMILIES[name].inputs(rows, steps)


def leaves(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists and dicts, in torch's order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)


def open_axes(name: str) -> list[dict[int, str]]:
    """For each tensor of the arguments, the axes that rows or steps open, and which of the two does."""
    base, rows, steps = (list(leaves(arguments(name, *sizes))) for sizes in ((3, 6), (4, 6), (3, 7)))
    return [{axis: "batch" if r.shape[axis] != size else "time" for axis, size in enumerate(b.shape)
             if r.shape[axis] != size or s.shape[axis] != size} for b, r, s in zip(base, rows, steps)]


def series(rows: int, steps: int) -> tuple[Any, ...]:
    return (torch.randn(rows, steps, FEATURES),)


def tokens(rows: int, steps: int) -> tuple[Any, ...]:
    return (torch.randint(1, VOCABULARY, (rows, steps)),)


def lengths_of(rows: int, steps: int) -> torch.Tensor:
    """A length for each row, one of them all steps."""
    lengths = torch.randint(1, steps + 1, (rows,))
    lengths[-1] = steps
    return lengths


def tokens_and_lengths(rows: int, steps: int) -> tuple[Any, ...]:
    return (*tokens(rows, steps), lengths_of(rows, steps))
