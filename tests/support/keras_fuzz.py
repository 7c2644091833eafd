"""One random Keras model, in every file format, against Keras: what is right, refused by name, or a finding.

Meaning is judged in float64, where both sides do the same arithmetic; float32 by both sides' distance to that.
"""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras_models import assert_same_graph
from keras_random import VOCABULARY, Builder, random_weights

import lstm_engine as le
from lstm_engine.errors import ArgumentError, UnsupportedError
from lstm_engine.graph import Graph
from lstm_engine.importers import import_graph
from lstm_engine.operators import validate

ROWS, STEPS = 4, 6
# Far above the rounding of some thousand float64 operations, far below any error of meaning.
EXACT = 1e-9
# float32: some hundred terms summed in another order; and as many times Keras' own distance to float64, because what
# amplifies its rounding amplifies ours, which falls elsewhere.
FLOOR, CONDITION = 5e-6, 30
# Beyond this, the model's outputs are noise in float32 on both sides: counted as skipped.
LOST = 0.05


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    compared: int = 0                                         # outputs compared, over all ways to run
    refused: list[str] = field(default_factory=list)          # reasons, by way
    skipped: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Keras in float32 or float64; its torch backend computes float64 only where it is told that it may."""
    from keras.src.backend.common import dtypes

    before, floatx = dict(dtypes.BIT64_TO_BIT32_DTYPE), keras.config.floatx()
    if name == "float64":
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        dtypes.BIT64_TO_BIT32_DTYPE.update(before)
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(floatx)


def check(seed: int, folder: Path) -> Outcome:
    """Build the model of a seed and compare it in every way. Never raises for what the engine does."""
    outcome = Outcome(seed)
    logging.getLogger().setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.utils.clear_session()
        with precision("float32"):
            try:
                model = Builder(seed).model()
            except (ValueError, TypeError, RuntimeError, AttributeError) as error:
                outcome.skipped.append(f"Keras does not build it: {type(error).__name__}")
                return outcome
            model.set_weights(random_weights(model, np.random.default_rng(seed)))
            graph = _imported(model, folder, outcome)
        if graph is not None:
            _Comparison(seed, model, graph, outcome).run(folder)
    return outcome


def _imported(model: keras.Model, folder: Path, outcome: Outcome) -> Graph | None:
    """The graph, the same from every format that Keras can write."""
    graphs: dict[str, Graph] = {}
    for form in ("live", "model.keras", "model.h5", "model.json"):
        source: Any = model
        if form != "live":
            source = folder / form
            source.unlink(missing_ok=True)
            try:
                if form == "model.json":
                    source.write_text(model.to_json())
                    (folder / "model.h5").unlink(missing_ok=True)
                    model.save_weights(folder / "model.weights.h5")
                else:
                    model.save(source)
            except Exception as error:      # models whose layers share a name in HDF5, for one
                outcome.skipped.append(f"Keras does not save it as {form}: {type(error).__name__}")
                continue
        try:
            graphs[form] = validate(import_graph(source))
        except UnsupportedError as error:
            outcome.refused.append(f"{form}: {_reason(error)}")
            if "layer" not in str(error) and "model" not in str(error):
                outcome.findings.append(f"{form}: refused without a name: {error}")
        except Exception as error:
            if form == "model.json" and "JSON does not say which" in str(error):      # layers in several models
                outcome.skipped.append("JSON does not say which layers are one")
                continue
            outcome.findings.append(f"{form}: import: {type(error).__name__}: {error}")
    first = next(iter(graphs.values()), None)
    for form, graph in graphs.items():
        try:
            assert_same_graph(first, graph)
        except AssertionError as error:
            outcome.findings.append(f"{form} differs from the first format: {str(error).strip()[:300]}")
    if graphs and len(graphs) + len(outcome.skipped) < 4 and not outcome.findings:
        outcome.findings.append(f"only {', '.join(graphs)} could be imported: {outcome.refused}")
    return first


def _reason(error: Exception) -> str:
    """An error without the names in it."""
    import re

    text = re.sub(r"/\S+: ", "", str(error).split(" is not supported")[0].split("; supported")[0])
    return re.sub(r"'[^']*'|\d+", "*", text)[:110]


class _Comparison:
    """One imported model against Keras, in every way to run it."""

    def __init__(self, seed: int, model: keras.Model, graph: Graph, outcome: Outcome) -> None:
        self.model, self.graph, self.outcome = model, graph, outcome
        self.rng = np.random.default_rng(seed + 1)
        self.ours = le.Model(graph)
        with precision("float64"):
            keras.utils.clear_session()
            self.wide = Builder(seed).model()
            self.wide.set_weights(model.get_weights())
        self.inputs = self._inputs(ROWS)

    def run(self, folder: Path) -> None:
        for way in (self._predict, self._float64, self._batch_size, self._saved, self._live, self._list, self._stream):
            try:
                way(folder)
            except (UnsupportedError, ArgumentError) as error:
                kind = "refused" if way in (self._list, self._stream, self._batch_size) else "findings"
                getattr(self.outcome, kind).append(f"{way.__name__[1:]}: {_reason(error)}")
            except Exception as error:
                self.outcome.findings.append(f"{way.__name__[1:]}: {type(error).__name__}: {str(error)[:300]}")

    # ---- inputs and oracles -------------------------------------------------------------------------------

    def _inputs(self, rows: int) -> dict[str, np.ndarray]:
        """Ids with zeros left, in the middle, right and throughout; numbers, some steps of which a Masking masks."""
        sizes: dict[Any, int] = {}
        made = {}
        for value in self.graph.inputs:
            shape = [rows if axis == 0 else sizes.setdefault(dim, STEPS + len(sizes)) if isinstance(dim, str) else dim
                     for axis, dim in enumerate(value.shape)]
            if value.dtype.startswith("int"):
                ids = self.rng.integers(1, VOCABULARY, shape)
                ids[0, : shape[1] // 2] = 0
                ids[1, shape[1] // 2] = 0
                ids[2, -(shape[1] // 2):] = 0
                if self.rng.random() < 0.3:
                    ids[3] = 0
                made[value.name] = ids.astype(np.int32)
            else:
                numbers = self.rng.standard_normal(shape)
                if len(shape) == 3:
                    numbers[self.rng.random(shape[:2]) < 0.25] = self.rng.choice([0.0, 0.5])
                made[value.name] = numbers.astype(np.float32)
        return made

    def _keras(self, inputs: dict[str, np.ndarray], wide: bool) -> dict[str, np.ndarray]:
        import torch

        arrays = [array.astype(np.float64) if wide and array.dtype.kind == "f" else array for array in inputs.values()]
        with precision("float64" if wide else "float32"), torch.no_grad():
            made = (self.wide if wide else self.model)(arrays if len(arrays) > 1 else arrays[0], training=False)
        return dict(zip(self.graph.outputs, [each.detach().numpy() for each in keras.tree.flatten(made)], strict=True))

    def _named(self, made: Any) -> dict[str, Any]:
        return made if isinstance(made, dict) else {self.graph.outputs[0]: made}

    def _close(self, way: str, ours: dict, inputs: dict[str, np.ndarray]) -> None:
        """Ours in float32 against Keras in float64, as near as Keras' own float32 is."""
        exact, theirs = self._keras(inputs, True), self._keras(inputs, False)
        for name, want in exact.items():
            got = ours[name]
            if got.shape != want.shape:
                self.outcome.findings.append(f"{way} {name}: shape {got.shape}, Keras {want.shape}")
                continue
            scale = max(1.0, float(np.max(np.abs(want), initial=0, where=np.isfinite(want))))
            own, off = _apart(theirs[name], want), _apart(got, want)
            if own > LOST * scale:
                self.outcome.skipped.append("the model loses all precision in float32")
            elif off > FLOOR * scale + CONDITION * own:
                self.outcome.findings.append(f"{way} {name}: off by {off:.3g}, Keras' float32 by {own:.3g}")
            self.outcome.compared += 1

    # ---- ways to run --------------------------------------------------------------------------------------

    def _predict(self, folder: Path) -> None:
        self.result = self._named(self.ours.predict(self.inputs))
        self._close("predict", self.result, self.inputs)

    def _float64(self, folder: Path) -> None:
        exact = self._keras(self.inputs, True)
        with precision("float64"):
            ours = le.Model(import_graph(self.wide), dtype="float64")
        made = self._named(ours.predict(self.inputs))
        for name, want in exact.items():
            scale = max(1.0, float(np.max(np.abs(want), initial=0, where=np.isfinite(want))))
            if made[name].shape != want.shape or (off := _apart(made[name], want)) > EXACT * scale:
                self.outcome.findings.append(f"float64 {name}: {made[name].shape} off by {off:.3g} of {scale:.3g}")
            self.outcome.compared += 1

    def _batch_size(self, folder: Path) -> None:
        self._same("batch_size", self._named(self.ours.predict(self.inputs, batch_size=3)))

    def _saved(self, folder: Path) -> None:
        self.ours.save(folder / "model.lstm")
        self._same("saved", self._named(le.load(folder / "model.lstm").predict(self.inputs)), exactly=True)

    def _live(self, folder: Path) -> None:
        """`convert` of the live model compares by itself, and leaves Keras' random numbers alone."""
        import torch

        before = torch.get_rng_state()
        with precision("float32"):
            self._same("live", self._named(le.convert(self.model).predict(self.inputs)), exactly=True)
        if not torch.equal(before, torch.get_rng_state()):
            self.outcome.findings.append("live: convert drew from torch's random numbers")

    def _same(self, way: str, made: dict, exactly: bool = False) -> None:
        for name, want in self.result.items():
            scale = max(1.0, float(np.max(np.abs(want), initial=0, where=np.isfinite(want))))
            if _apart(made[name], want) > (0 if exactly else 1e-5 * scale):       # host operators sum by batch
                self.outcome.findings.append(f"{way} {name}: differs from predict by {_apart(made[name], want):.3g}")
            self.outcome.compared += 1

    def _list(self, folder: Path) -> None:
        """Sequences of their own lengths, each as Keras has it alone."""
        if not all(len(value.shape) > 1 and value.shape[1] == self.graph.inputs[0].shape[1]
                   and isinstance(value.shape[1], str) for value in self.graph.inputs):
            return
        lengths = (3, 6, 1, 5)
        lists = {name: [array[row, :length] for row, length in enumerate(lengths)]
                 for name, array in self.inputs.items()}
        made = self._named(self.ours.predict(lists if len(lists) > 1 else next(iter(lists.values()))))
        for row, length in enumerate(lengths):
            alone = {name: array[row : row + 1, :length] for name, array in self.inputs.items()}
            self._close(f"list row {row}", {name: np.asarray(part[row])[None] for name, part in made.items()}, alone)

    def _stream(self, folder: Path) -> None:
        """The steps of a sequence are those that predict gives for the whole one; what is one for the sequence is that
        of the steps so far, after each of them from the first that makes one."""
        stream = self.ours.stream(ROWS)
        given = self.inputs if len(self.inputs) > 1 else next(iter(self.inputs.values()))
        made = self._named(stream.run(given))
        timed = {value.name for value in self.graph.inputs if isinstance(value.shape[1], str)}
        most = max((self.inputs[name].shape[1] for name in timed), default=1)
        for name, want in self._named(self.ours.predict(self.inputs)).items():
            steps, sequence = made[name].shape[1], want.ndim == made[name].ndim
            if sequence and steps != want.shape[1]:
                self.outcome.findings.append(f"stream {name}: {steps} steps, and predict {want.shape[1]}")
                return
            for step in range(steps) if sequence or timed else [steps - 1]:     # of fixed sizes only the whole
                begun = most - steps + step + 1
                before = {name: array[:, :begun] if name in timed else array for name, array in self.inputs.items()}
                last = want[:, step] if sequence else self._named(self.ours.predict(before))[name]
                scale = max(1.0, float(np.max(np.abs(last), initial=0, where=np.isfinite(last))))
                if _apart(made[name][:, step], last) > 1e-5 * scale:
                    self.outcome.findings.append(f"stream {name}: step {step} differs from predict")
                    return
                self.outcome.compared += 1


def _apart(left: np.ndarray, right: np.ndarray) -> float:
    """The largest difference; infinite where only one is a number."""
    left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.where((left == right) | np.isnan(left) & np.isnan(right), 0, np.abs(left - right))
    return float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0))


def table(outcomes: list[Outcome], seconds: float) -> str:
    """Totals, refusals and skips by reason, and every finding."""
    refused, skipped = (Counter(reason for outcome in outcomes for reason in getattr(outcome, kind))
                        for kind in ("refused", "skipped"))
    whole = sum(not outcome.compared and not outcome.findings for outcome in outcomes)
    lines = [f"{len(outcomes)} models in {seconds / 60:.1f} minutes; {sum(o.compared for o in outcomes)} outputs "
             f"compared; {whole} models compared in no way; {sum(bool(o.findings) for o in outcomes)} with findings"]
    lines += [f"refused  {count:5}  {reason}" for reason, count in refused.most_common()]
    lines += [f"skipped  {count:5}  {reason}" for reason, count in skipped.most_common()]
    lines += [f"FOUND    seed {outcome.seed}: {finding}" for outcome in outcomes for finding in outcome.findings]
    return "\n".join(lines)


def run(seeds: Any, folder: Path, minutes: float | None = None, progress: bool = False) -> list[Outcome]:
    """Check seeds until they or the minutes end."""
    end = time.monotonic() + 60 * (minutes or 1e9)
    outcomes = []
    for seed in seeds:
        if time.monotonic() > end:
            break
        outcomes.append(check(seed, folder))
        if progress and outcomes[-1].findings:
            print(f"seed {seed}: {outcomes[-1].findings}", flush=True)
    return outcomes
