"""What the values of a script are while it is gone through, and the words for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..checkpoints.symbols import Instance
from ..checkpoints.symbols import Tensor as Stored
from ..program.schema import Inert, Ref
from .tree import Class

OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "and": "or", "or": "and"}
AS_NUMBERS = "give it as a number: spec={'shapes': {input: [sizes]}}"


@dataclass(frozen=True)
class Object:
    """A module of the script. path: its name from the root, "" for that."""

    path: str
    instance: Instance
    kind: Class
    module: str                 # the full name of the class


@dataclass(frozen=True)
class Condition:
    """What depends on sizes that are open: a comparison (eq, ne, lt, le, gt, ge) of two of them or of one and a number,
    or two conditions ("and", "or"). size: how many comparisons it has."""

    name: str
    left: Any
    right: Any
    size: int = 1

    def opposite(self) -> Condition:
        if self.name in ("and", "or"):
            return Condition(OPPOSITE[self.name], self.left.opposite(), self.right.opposite(), self.size)
        return Condition(OPPOSITE[self.name], self.left, self.right)


@dataclass(frozen=True)
class Number:
    """A number that stands in a tensor of no axes: what tracing makes of sizes."""

    value: Any


@dataclass(frozen=True)
class Record:
    """A NamedTuple."""

    names: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Path:
    """A name with dots that is no value: torch.add, ops.prim.dtype, __torch__.f."""

    name: str


@dataclass(frozen=True)
class Unknown:
    """What an operator makes that is not supported; `message` says so where it is used in the end."""

    message: str


@dataclass(frozen=True, eq=False)
class State:
    """A tensor of the module that calls change. path: its name from the root.

    slot: the module (by id) and the name of the attribute that is assigned to; None if the tensor itself is changed in
    place, which all attributes see that are this tensor.
    """

    path: str
    stored: Stored
    slot: tuple[int, str] | None


class Changes(Exception):
    """A tensor of the module is changed by a call of it, and is no state yet."""

    def __init__(self, state: State) -> None:
        super().__init__(state.path)
        self.state = state


def unknown(values: Sequence[Any], count: Callable[[], None]) -> Iterator[Unknown]:
    """Those among values and inside lists of them; each is counted, for lists may hold each other many times."""
    for value in values:
        count()
        if isinstance(value, Unknown):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from unknown(value, count)


# What changes its first argument and does not say so by its name. Source: torch._C._jit_get_all_schemas(), the aten
# operators with an argument that is written (`is_write`); test_torch_script_words.py compares.
CHANGING = frozenset("""
    Delete _set_item append clear extend insert pop popitem remove reverse setdefault sort update
    __iand__ __ilshift__ __ior__ __irshift__ __ixor__ set_data resize retain_grad record_stream
    _batch_norm_with_update _cummax_helper _cummin_helper _flash_attention_forward_no_dropout_inplace
    _fused_moving_avg_obs_fq_helper _native_batch_norm_legit fused_moving_avg_obs_fake_quant manual_seed
    fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation rrelu_with_noise seed""".split())


def changes(name: str) -> bool:
    """Whether an operator changes what it is given: add_, append."""
    word = name.rpartition(".")[2]
    return word.endswith("_") and not word.endswith("__") or word in CHANGING


def shown(value: Any, depth: int = 0) -> str:
    """A value for a message."""
    if isinstance(value, Ref):
        return "a tensor"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(shown(one, depth + 1) for one in value[:6])}]" if depth < 2 else "[...]"
    if isinstance(value, (Object, Record, Condition, Path, Inert, Number)):
        return f"a {type(value).__name__.lower()}"
    return f"{value!r:.40}"
