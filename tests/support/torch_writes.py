"""Random programs of views and writes in place: what torch makes of them is what a converted model must make."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch.nn import functional as F

BASES = ["x * 2", "x.clone()", "x.transpose(1, 2) * 2", "x[:, :1] * 2", "torch.cat([x, x], 1)"]
WRITES = ["y.add_(1)", "y.mul_(2)", "y.fill_(3)", "y.copy_(y * 3)", "y.zero_()", "y.sigmoid_()", "y.clamp_(max=1)",
          "y.masked_fill_(y > 0, 7)", "y.relu_()", "y.lerp_(y * 2, 0.3)", "y.addcmul_(y, y)", "y.add_(y)"]
OF_AXES = ["y[0].fill_(5)", "y[..., -1].mul_(2)", "y.index_put_((y > 0,), y.new_tensor(-1.0))", "y.cumsum_(-1)",
           "y[..., ::2].fill_(4)", "y.select({axis}, 0).add_(9)", "y.index_fill_({axis}, torch.tensor([0]), 8.0)",
           "y.index_add_({axis}, torch.tensor([0]), y.narrow({axis}, 0, 1) * 2)", "y.sub_(y[:1])",
           "y.scatter_({axis}, (y > 0).long() * 0, 11.0)", "y[..., 1:].copy_(y[..., :-1])"]
VIEWS = ["y.detach()", "y.contiguous()", "y.to(torch.float32)", "y.to(torch.float32, copy=True)", "y.view_as(y)",
         "y.clone()", "y.reshape(-1)", "y.flatten()", "y.ravel()", "y[...]", "y.to(torch.float64).to(torch.float32)",
         "F.dropout(y, 0.5, False)", "y.view(-1)", "y.type_as(y)", "torch.relu(y)"]
AXIS_VIEWS = ["y.select({axis}, {place})", "y.narrow({axis}, 0, 1)", "y.chunk(2, {axis})[-1]", "y.unbind({axis})[-1]",
              "y.unflatten({axis}, (2, -1))", "y.unfold({axis}, 2, 1)", "y.expand(2, *y.shape)", "y.unsqueeze({axis})",
              "y.squeeze({axis})", "y[..., 1:]", "y[..., :-1]", "y[..., ::2]", "y.split([1, 3], {axis})[1]",
              "torch.broadcast_tensors(y, y[:1])[{place}]", "y.tensor_split(2, {axis})[0]", "y.reshape(-1, 2)",
              "y[:1].expand_as(y)"]
PAIR_VIEWS = ["y.transpose({axis}, {other})", "y.swapaxes({axis}, {other})", "y.movedim({axis}, {other})", "y.mT",
              "y.diagonal(0, {axis}, {other})", "y.diagonal(1, {axis}, {other})", "y.flatten(-2, -1)",
              "torch.einsum('{letters}->{turned}', y)", "y.permute(*range(1, y.dim()), 0)"]
TURNS = ["y.unsqueeze_({axis})", "y.squeeze_({axis})", "y.transpose_({axis}, {other})", "y.swapaxes_({axis}, {other})",
         "y.t_()"]
MOST_AXES, MOST_ELEMENTS = 5, 1000

Step = tuple[int, str, bool]        # of which tensor so far, what, whether it makes another one


def run(steps: list[Step], x: torch.Tensor) -> list[torch.Tensor]:
    """All tensors that the steps make of x."""
    made: list[torch.Tensor] = []
    for which, text, makes in steps:
        y = made[which] if made else x
        result = eval(text, {"torch": torch, "F": F}, {"x": x, "y": y})
        if makes:
            made.append(result)
    return made


def program(seed: int, x: torch.Tensor) -> list[Step]:
    """Steps that torch can take with x, which begin with a tensor of its own."""
    chance = random.Random(seed)
    steps: list[Step] = [(0, chance.choice(BASES), True)]
    made, wanted = run(steps, x), chance.randint(4, 9)
    while len(steps) < wanted:
        which, kind = chance.randrange(len(made)), chance.random()
        axes = made[which].dim()
        axis = chance.randrange(-axes, axes) if axes else 0
        letters = "abcde"[:axes]
        if kind < 0.5:
            texts = VIEWS + (AXIS_VIEWS if axes else []) + (PAIR_VIEWS if axes > 1 else [])
        else:
            texts = TURNS if kind > 0.92 and axes else WRITES + (OF_AXES if axes else [])
        text = chance.choice(texts).format(axis=axis, other=chance.randrange(max(axes, 1)), letters=letters,
                                           place=chance.choice([0, -1]), turned=letters[1:] + letters[:1])
        step = which, text, kind < 0.5
        try:
            made = run([*steps, step], x)
        except (RuntimeError, IndexError, ValueError):         # torch does not take this step here
            continue
        if all(0 < y.numel() <= MOST_ELEMENTS and y.dim() <= MOST_AXES for y in made):
            steps.append(step)
    return steps


class Writes(torch.nn.Module):
    """Gives all tensors that its steps make, as they are at the end."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: torch.Tensor) -> Any:
        return tuple(y * 1 for y in run(self.steps, x))
