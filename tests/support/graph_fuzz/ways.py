"""The ways to run one model that must agree, each judged by the oracle or by bits."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lstm_engine as le
from lstm_engine.errors import CheckError

from .case import Case
from .oracle import Invalid, Oracle, Wanted
from .parts import lengths_and_lists, streams
from .quantised import quantised

Arrays = dict[str, np.ndarray]


@dataclass
class Report:
    """What became of one graph: runs compared by way, outputs judged and undecidable, refusals, findings."""

    seed: int
    invalid: str = ""
    runs: Counter[str] = field(default_factory=Counter)
    outputs: int = 0
    undecidable: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, str, str]] = field(default_factory=list)      # way, kind, message

    def plain(self) -> dict[str, Any]:
        return {**vars(self), "runs": dict(self.runs), "refused": dict(self.refused)}

    def found(self, way: str, kind: str, message: str) -> None:
        self.findings.append((way, kind, message))

    def judge(self, way: str, got: Arrays, wanted: dict[str, Wanted]) -> None:
        """Compare outputs with what the oracle wants."""
        self.runs[way] += 1
        for name, want in wanted.items():
            self.outputs += 1
            self.undecidable += want.within is None
            if name not in got:
                self.found(way, "missing", name)
            elif problem := want.differs(got[name]):
                self.found(way, problem.split()[0], f"{name}: {problem}")

    def same(self, way: str, got: Arrays, before: Arrays) -> None:
        """Compare outputs with those of another way, to the bit."""
        self.runs[way] += 1
        for name, array in before.items():
            other = got[name]
            if other.dtype != array.dtype or other.shape != array.shape or other.tobytes() != array.tobytes():
                apart = abs(np.subtract(other, array, dtype=np.float64)).max() if other.shape == array.shape else "-"
                self.found(way, "bits", f"{name}: {other.dtype}{list(other.shape)} beside {array.dtype}"
                                        f"{list(array.shape)}, largest difference {apart}")

    def attempt(self, way: str, call: Any, *arguments: Any) -> Any:
        """What a call gives; None after a refusal by name or a finding."""
        try:
            return call(*arguments)
        except Invalid:
            raise
        except CheckError as error:
            self.found(way, "CheckError", str(error))
        except le.LstmEngineError as error:
            self.refused[f"{way}: {reason(error)}"] += 1
        except Exception as error:
            import traceback
            at = traceback.extract_tb(error.__traceback__)[-1]
            self.found(way, type(error).__name__, f"{error} ({Path(at.filename).name}:{at.lineno})")
        return None


def reason(error: Exception) -> str:
    """The message of a refusal without the names and numbers of one graph."""
    text = re.sub(r"'[^']*'|\[[^\]]*\]", "_", str(error).split("\n")[0])
    return f"{type(error).__name__}: " + re.sub(r"\d+", "#", text)[:110]


def named(model: le.Model, answer: Any) -> Arrays:
    return answer if isinstance(answer, dict) else {next(iter(model.outputs)): answer}


def examine(case: Case) -> Report:
    """Run a graph in every way; `invalid` where the oracles cannot run it."""
    report = Report(case.seed)
    try:
        oracle = Oracle(case)
        wanted = [oracle.run(case.feeds(call)) for call in (0, 1)]
    except Invalid as error:
        report.invalid = str(error)
        return report
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = report.attempt("convert", le.convert, case.model())
        if model is not None:
            _whole(case, report, model, wanted)
            quantised(case, report, model)
            try:
                lengths_and_lists(case, report, model)
                streams(case, report, model)
            except Invalid:
                pass                                        # parts of a graph that has no meaning in parts
    return report


def _whole(case: Case, report: Report, model: le.Model, wanted: list[dict[str, Wanted]]) -> None:
    feeds = [{name: array for name, array in case.feeds(call).items() if name in model.inputs} for call in (0, 1)]
    kept = [{name: array.copy() for name, array in given.items()} for given in feeds]
    first: dict[int, Arrays] = {}

    def predict(way: str, call: int, given: Any = None, of: le.Model = model, **options: Any) -> Arrays | None:
        answer = report.attempt(way, lambda: of.predict(feeds[call] if given is None else given, **options))
        return None if answer is None else named(of, answer)

    for call in (0, 1, 0, 0, 1, 1):                         # the second call of a shape is recorded, the third replayed
        got = predict("predict", call)
        if got is None:
            continue
        if call in first:
            report.same("again", got, first[call])
        else:
            report.judge("predict", got, wanted[call])
            first[call] = got = {name: array.copy() for name, array in got.items()}
    for call, before in first.items():
        for threads in (1, 2):
            if (got := predict("threads", call, threads=threads)) is not None:
                report.same("threads", got, before)
        if len(feeds[call]) == 1 and (got := predict("array", call, next(iter(feeds[call].values())))) is not None:
            report.same("array", got, before)
        for rows in (1, 2):
            if (got := predict("batch_size", call, batch_size=rows)) is not None:
                report.judge("batch_size", got, wanted[call])
    if first:
        with tempfile.TemporaryDirectory() as folder:
            report.attempt("save", model.save, Path(folder) / "m.lstm")
            loaded = report.attempt("load", le.load, Path(folder) / "m.lstm")
        for call, before in first.items():
            if loaded is not None and (got := predict("load", call, of=loaded)) is not None:
                report.same("load", got, before)
    for given, copy in zip(feeds, kept):
        if any(given[name].tobytes() != copy[name].tobytes() for name in given):
            report.found("predict", "written", "an input was written to")
