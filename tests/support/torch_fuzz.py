"""Random torch programs of many operators, in five forms, each held to torch.

A program is a chain of functions of `torch_functions` and of layers over one tensor [batch, time, 4]. What a function
makes, of whatever type and shape, goes on as a bounded tensor of the first shape, cut to steps of 1/16 and laid beside
a ramp: no error grows on the way, and numbers that are equal by chance, which would sort either way, do not come about.
What hangs on a number so near the edge of a step that torch's own rounding decides is left out.
A form has the program without the functions that it does not take alone.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch_functions import EDGES, FUNCTIONS
from torch_ways import of_onnxruntime, quiet

import lstm_engine as le

ALL: dict[str, Callable[[Any], Any]] = FUNCTIONS | EDGES
LAYERS = ("LSTM", "GRU", "Linear", "Conv")
FORMS = ("live", "pt2", "traced", "dynamo", "script")
SIZES = [(2, 5), (3, 6), (2, 8), (4, 5)]
INPUTS = 3                      # that must all be off: float32 leaves open whether a function like `x > 0` says yes
# Steps are of 1/16, and a number that is off by a few of float32's last places before it is cut stays where it is.
CLOSE = 1e-4
NEAR = 1e-3                     # of a step, so 6e-5: what lies nearer to its edge may fall to either side


def leaves(made: Any) -> list[torch.Tensor]:
    if isinstance(made, torch.Tensor):
        return [made]
    return [leaf for one in made for leaf in leaves(one)]


class Made(nn.Module):
    """names: of functions and layers, in turn. as_it_is: which of the leaves of each have its input's shape."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        kinds: dict[str, Callable[[], nn.Module]] = {
            "LSTM": lambda: nn.LSTM(4, 4, batch_first=True), "GRU": lambda: nn.GRU(4, 4, batch_first=True),
            "Linear": lambda: nn.Linear(4, 4), "Conv": lambda: nn.Conv1d(4, 4, 3, padding=1)}
        self.names = list(names)
        self.layers = nn.ModuleDict({str(at): kinds[name]() for at, name in enumerate(names) if name in kinds})
        self.as_it_is = [_kept(name) for name in names]
        self.moved = 0.0                        # what each number is moved by before it is cut, in steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = (torch.arange(x.size(0)).view(-1, 1, 1) * 0.0007 + torch.arange(x.size(1)).view(1, -1, 1) * 0.0061
                + torch.arange(4) * 0.0013)
        for at, name in enumerate(self.names):
            made = leaves(self.part(at, name, x))
            for leaf, kept in zip(made, self.as_it_is[at] or [True], strict=True):
                number = torch.nan_to_num(leaf.to(x.dtype), 0.3, 2.0, -2.0)
                if not kept:                    # the mean of none, which is NaN, too
                    number = torch.nan_to_num(number.clamp(-3, 3).mean(), 0.3)
                x = x * 0.7 + torch.tanh(number)
            steps = x * 16 + self.moved if self.moved else x * 16
            x = torch.round(steps) / 16 + ramp
        return x

    def part(self, at: int, name: str, x: torch.Tensor) -> Any:
        if name not in LAYERS:
            return ALL[name](x)
        layer = self.layers[str(at)]
        if name == "Conv":
            return layer(x.mT).mT
        return layer(x)[0] if name in ("LSTM", "GRU") else layer(x)


def _kept(name: str) -> list[bool]:
    """Of each leaf of a function, whether it has its input's shape, at every size."""
    if name in LAYERS:
        return []
    shapes = [[tuple(leaf.shape) == (*sizes, 4) for leaf in leaves(ALL[name](given(0, *sizes)))] for sizes in SIZES]
    return [all(at) for at in zip(*shapes, strict=True)]


def given(seed: int, rows: int, steps: int) -> torch.Tensor:
    return torch.randn(rows, steps, 4, generator=torch.Generator().manual_seed(1000 * seed + 10 * rows + steps))


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without what torch's C++ prints of programs that it does not export."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class TorchRefusesError(Exception):
    """torch's exporter raised."""


def converted(form: str, module: nn.Module, folder: Path
              ) -> tuple[le.Model, Callable[[torch.Tensor], np.ndarray] | None]:
    """The model of a form, and what its file gives where it is at home."""
    x, path = given(0, *SIZES[0]), folder / f"m.{'onnx' if form in ('dynamo', 'script') else form}"
    open_axes = dict.fromkeys((0, 1), torch.export.Dim.AUTO)
    file = io.BytesIO()
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if form == "live":
            return le.convert(module, example_inputs=(x,)), None
        try:
            with quiet(), silent(), torch.no_grad():
                if form == "pt2":
                    torch.export.save(torch.export.export(module, (x,), dynamic_shapes=(open_axes,)), file)
                elif form == "traced":
                    jit.save(jit.trace(module, (x,), check_trace=False), file)
                elif form == "script":
                    torch.onnx.export(module, (x,), file, input_names=["x"], dynamic_axes={"x": [0, 1]}, dynamo=False)
                else:
                    program = torch.onnx.export(module, (x,), dynamic_shapes=(open_axes,), dynamo=True, verbose=False)
                    file.write(program.model_proto.SerializeToString())
        except Exception as error:              # torch raises what it likes
            raise TorchRefusesError(str(error)) from error
        path.write_bytes(file.getvalue())
        if form == "traced":
            loaded = jit.load(path)
            return le.convert(path, spec={"shapes": {"x": ["batch", "time", 4]}}), lambda x: loaded(x).numpy()
        if form == "pt2":
            return le.convert(path), None
        return le.convert(path), lambda x: of_onnxruntime(file.getvalue(), (x,))[0]


@dataclass(frozen=True)
class Found:
    """What came of a program in a form: "right", "torch refuses", "refused", "fixed" (no size but the example's is
    taken) or "wrong"; with what was said."""

    what: str
    said: str = ""


def tried(form: str, module: nn.Module) -> Found:
    """One program in one form, on several sizes and inputs."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model, at_home = converted(form, module, Path(folder))
        except TorchRefusesError as error:
            return Found("torch refuses", str(error))
        except le.UnsupportedError as error:
            return Found("torch refuses" if "torch.export cannot export" in str(error) else "refused", str(error))
        except le.FormatError as error:         # a file that contradicts itself: ONNX Runtime does not open it either
            return Found("wrong" if opens(Path(folder) / "m.onnx") else "refused", f"FormatError: {error}")
        except Exception as error:              # of any class: each is a finding
            return Found("wrong", f"{type(error).__name__}: {error}")
        return compared(model, module, at_home)


def opens(path: Path) -> bool:
    """Whether an ONNX file runs where it is at home; of other files, that they would."""
    if not path.exists():
        return True
    try:
        of_onnxruntime(path.read_bytes(), (given(0, *SIZES[0]),))
    except Exception:                           # of its own classes
        return False
    return True


def compared(model: le.Model, module: nn.Module, at_home: Callable[[torch.Tensor], np.ndarray] | None) -> Found:
    """What comes of a model beside a module, and beside its file where that is at home."""
    ran = 0
    for rows, steps in SIZES:
        off = [_off(model, module, at_home, given(seed, rows, steps)) for seed in range(INPUTS)]
        if None in off:
            continue
        if all(off):
            return Found("wrong", f"{rows} rows of {steps} steps: {off[0]}")
        ran += 1
    return Found("right" if ran > 1 else "fixed" if ran else "refused")


def settled(module: nn.Module, x: torch.Tensor) -> np.ndarray:
    """Which elements of a program's output hang on no number at the edge of a step."""
    other = copy.deepcopy(module)
    made = []
    for other.moved in (-NEAR, NEAR):
        made.append(other(x).numpy())
    same: np.ndarray = np.abs(made[0] - made[1]) <= CLOSE
    return same


def _off(model: le.Model, module: nn.Module, at_home: Callable[[torch.Tensor], np.ndarray] | None,
         x: torch.Tensor) -> str | None:
    """How far the model is off, "" if it is not; None of a size that it refuses, or where little is settled."""
    try:
        ours: Any = model.predict(x.numpy())
    except le.ArgumentError:
        return None
    except Exception as error:                  # of any class: each is a finding
        return f"{type(error).__name__}: {error}"
    try:
        wanted = module(x).numpy()
    except (RuntimeError, IndexError):          # torch does not take it, a median of nothing
        return None
    if ours.shape == wanted.shape:
        if np.abs(ours - wanted).max(initial=0) <= CLOSE:
            return ""
        certain = settled(module, x)
        if np.mean(certain) < 0.5:
            return None
        if np.abs(ours - wanted)[certain].max(initial=0) <= CLOSE:
            return ""
    with contextlib.suppress(Exception):        # of what float32 leaves open, float64 is the judge
        if np.abs(ours - in_float64(module, x)).max(initial=0) <= CLOSE:
            return ""
    with contextlib.suppress(Exception):        # a file that says otherwise than its module, by its exporter
        home = None if at_home is None else at_home(x)
        if home is not None and home.shape == ours.shape and np.abs(ours - home).max(initial=0) <= CLOSE:
            return ""
    differs = np.abs(ours - wanted).max(initial=0) if ours.shape == wanted.shape else f"{ours.shape} {wanted.shape}"
    return f"off by {differs}"


def in_float64(module: nn.Module, x: torch.Tensor) -> np.ndarray:
    """What a program gives where every number that it makes is one of float64, too."""
    torch.set_default_dtype(torch.float64)
    try:
        made: np.ndarray = copy.deepcopy(module).double()(x.double()).numpy()
        return made
    finally:
        torch.set_default_dtype(torch.float32)


def alone(form: str) -> dict[str, Found]:
    """What comes of every function and layer alone in a form."""
    return {name: tried(form, Made([name], 0).eval()) for name in (*ALL, *LAYERS)}


def names_of(seed: int, operators: int) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(LAYERS) if rng.random() < 0.1 else rng.choice(list(ALL)) for _ in range(operators)]


def first_bad(form: str, names: Sequence[str], seed: int, what: str) -> str:
    """The function with which a program begins to be wrong, or refused."""
    low, high = 0, len(names)                   # the first `high` are bad, the first `low` are not
    while high - low > 1:
        middle = (low + high) // 2
        bad = tried(form, Made(names[:middle], seed).eval()).what == what
        low, high = (low, middle) if bad else (middle, high)
    return names[high - 1]
