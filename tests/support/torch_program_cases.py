"""Torch modules with forwards of their own, put together from building blocks: one block each, or random ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch_program_layers  # noqa: F401  (more building blocks)
from torch import nn
from torch_programs import BLOCKS, SEQUENCE, VECTOR, Block

VOCABULARY = 30


@dataclass
class Case:
    """A module and how to make its inputs: `inputs(batch, time)` gives the arguments of forward as tensors."""

    name: str
    module: nn.Module
    inputs: Callable[[int, int], tuple[torch.Tensor, ...]]


class Chain(nn.Module):
    """Blocks one after the other. ids: embed token ids first. beside: a second input, a vector put beside the features.

    time_first: forward takes [time, batch, ...]. several: gives what every block that changes the kind has made.
    """

    def __init__(self, blocks: list[Block], ids: bool, beside: bool, time_first: bool, several: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 4) if ids else None
        self.blocks = nn.ModuleList(blocks)
        self.beside, self.time_first, self.several = beside, time_first, several

    def forward(self, x, *others):
        x = x if self.embedding is None else self.embedding(x)
        x = x.transpose(0, 1) if self.time_first else x
        if self.beside:
            x = torch.cat([x, others[0].unsqueeze(1).expand(-1, x.shape[1], -1)], -1)
        made = []
        for part in self.blocks:
            x = part(x)
            made.append(x)
        return tuple(made[-2:]) if self.several and len(made) > 1 else x


def _inputs(ids: bool, beside: bool, time_first: bool, features: int) -> Callable[[int, int], tuple]:
    def make(batch: int, time: int) -> tuple[torch.Tensor, ...]:
        shape = (time, batch) if time_first else (batch, time)
        x = torch.randint(0, VOCABULARY, shape) if ids else torch.randn(*shape, features)
        return (x, torch.randn(batch, 3)) if beside else (x,)
    return make


def single(name: str) -> Case:
    """One block alone, over what it takes."""
    torch.manual_seed(0)
    takes, _, make = BLOCKS[name]
    if takes == VECTOR:
        return Case(name, make(5), lambda batch, time: (torch.randn(batch, 5),))
    return Case(name, make(5), lambda batch, time: (torch.randn(batch, time, 5),))


def composed(seed: int) -> Case:
    """A random composition of blocks."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    ids, beside, time_first, several = (rng.random() < chance for chance in (0.4, 0.3, 0.3, 0.3))
    kind, width = SEQUENCE, 4 + (3 if beside else 0)
    blocks: list[Block] = []
    names: list[str] = []
    for left in range(rng.randint(2, 7), 0, -1):
        options = [name for name, (takes, gives, _) in BLOCKS.items() if takes == kind
                   and (gives == kind or left <= 4)]
        weights = [3 if "_sequence" not in name and "_vector" not in name else 1 for name in options]
        name = rng.choices(options, weights)[0]
        made = BLOCKS[name][2](width)
        blocks.append(made)
        names.append(name)
        kind, width = BLOCKS[name][1], made.features
        if width > 40:
            break
    module = Chain(blocks, ids, beside, time_first, several)
    return Case(f"{seed}: {' '.join(names)}", module, _inputs(ids, beside, time_first, 4))
