"""`verify`: the model beside the program that it came from, run in its own framework, on many inputs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import finite_number, named_classes, path_text
from ..errors import ArgumentError, ArgumentTypeError, FormatError, LstmEngineError
from ..graph.stored import same_quantised
from . import frameworks
from .engine import NAMED, reference_answers
from .frameworks import Answer, Answers
from .judge import FACTOR, UNITS, Sample, Verdict, exact_is_the_same_function, judge
from .report import Figures, Report
from .sizes import from_source
from .slots import Arrays, Slot, given_slots, made_up_slots
from .sources import Source, source_of

if TYPE_CHECKING:
    from ..graph import Graph
    from ..importers import ImportOptions
    from ..model import Model
    from ..types import PoolReading

STORED = 1e-5               # for stored outputs, where no framework says how exact it is: absolute, relative above 1


def verify(model: Model, source: Any = None, inputs: Any = None, *, outputs: Mapping[str, Any] | None = None,
           spec: Any = None, pool: PoolReading | None = None, activations: Mapping[str, str] | None = None,
           order: Sequence[str] | None = None, data_folder: str | os.PathLike[str] | None = None,
           custom_objects: Mapping[str, str] | None = None,
           batch: Sequence[int] | None = None, steps: Sequence[int] | None = None, seed: int = 0,
           tolerance: float | None = None, run_source: bool = False, reference: bool = False) -> Report:
    """Compare a model with the program that it came from, run in its own framework.

    source: a path, which a process of its own runs (.onnx in ONNX Runtime, .keras and .h5 in Keras, .pt2 in PyTorch),
        or a live torch.nn.Module, keras.Model or onnx.ModelProto, which is run here. A file of weights alone cannot be
        run, and the report says so. run_source: also run TorchScript, which is code.
    spec, pool, activations, order, data_folder, custom_objects: those of the conversion; a framework that runs a source
        finds external data by its own rules, and a class that it lacks is one that it cannot run.
    inputs: arrays by input name, or a list of such dicts; None: made up from `seed`, ordinary, large, offset, negative
        and zero, near the graph's constants, ragged, in several sizes. batch, steps: sizes to use instead of our own.
    outputs: what the outputs for `inputs` should be, by name; then nothing is run.
    tolerance: the largest difference, absolute, relative above 1. None: what the framework's own exactness on these
        inputs allows (`verifying.judge`); a quantised model is then told how far it is from the source, which is not
        judged, and its engine is checked against the reference, unless its weights are int8 as the source holds them.
    reference: do not run the source; check the engine against our own float64 reference, which never counts as a check
        of the import.
    Returns a Report: `ok` only if all was checked and nothing differs; `print` it. Raises ArgumentError,
    ArgumentTypeError for wrong arguments, FormatError for stored outputs that do not fit.
    """
    from ..importers import ImportOptions

    _check_arguments(model, source, inputs, outputs, reference)
    if tolerance is not None:
        tolerance = finite_number(tolerance, "tolerance", zero=False)
    graph = model.graph
    options = ImportOptions(pool=pool, spec=spec, activations=activations, order=order,
                            custom_objects=named_classes(custom_objects),
                            data_folder=None if data_folder is None else path_text(data_folder, "data_folder"))
    report = Report()
    fixed_slots = None if inputs is None else given_slots(model, _cases(model, inputs))
    if outputs is not None and fixed_slots is not None:
        return _stored(report, model, fixed_slots, outputs, STORED if tolerance is None else tolerance)
    if fixed_slots is None:
        slots, remarks = made_up_slots(model, graph, seed, batch, steps)
        report.remarks += remarks
    else:
        slots = fixed_slots
    runner = Source("the model") if source is None else source_of(source, spec=spec, run_source=run_source)
    answers = None
    if runner.run is not None and not reference:
        slots, answers = _run_source(report, runner, model, graph, slots, fixed_slots is None, seed, batch, steps)
    if answers is not None:
        report.against = f"{runner.name} in {answers.version}"
        if tolerance is None and not _as_its_source(model, source, options):
            _beside_float(report, model, slots, answers, runner.framework)
            return report
        _compare(report, model, slots, answers, runner.framework, tolerance)
        return report
    report.unchecked += _why_not(runner, source, reference)
    report.unchecked += [f"assumed at conversion: {sentence}" for sentence in model.assumptions]
    if source is not None and model.quantization is None:
        graph = _imported(report, source, options) or graph
    _check_engine(report, model, graph, slots, tolerance)
    return report


def _check_arguments(model: Any, source: Any, inputs: Any, outputs: Any, reference: bool) -> None:
    from ..model import Model

    if not isinstance(model, Model):
        raise ArgumentTypeError(f"model is a lstm_engine.Model, not {type(model).__name__}; load or convert it first")
    if outputs is not None and inputs is None:
        raise ArgumentError("outputs needs the inputs that they belong to")
    if outputs is not None and (source is not None or reference):
        raise ArgumentError("outputs excludes source and reference: one of them says what is right")


def _cases(model: Model, inputs: Any) -> list[Arrays]:
    names = list(model.inputs)
    cases = []
    for case in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if not isinstance(case, Mapping):
            if len(names) != 1:
                raise ArgumentTypeError(f"inputs: the model has {len(names)} inputs; give a dict by name "
                                        f"({', '.join(names)})")
            case = {names[0]: case}
        cases.append({name: np.asarray(array) for name, array in case.items()})
    return cases


def _run_source(report: Report, runner: Source, model: Model, graph: Graph, slots: list[Slot], made: bool, seed: int,
                batch: Sequence[int] | None, steps: Sequence[int] | None) -> tuple[list[Slot], Answers | None]:
    """The framework's answers; None, with a sentence in the report, where it gave none.

    Where it refuses some of the inputs made up, all are made again in the shapes that it wants.
    """
    assert runner.run is not None
    try:
        answers = runner.run([slot.cases for slot in slots], _optional(slots))
        if answers.weights_only:
            report.unchecked.append(f"weights only: the program was not seen ({answers.weights_only})")
            return slots, None
        shapes = from_source(answers.wanted, list(model.inputs))
        if made and shapes and _taken(answers) < len(slots) - len(_optional(slots)):
            others, _ = made_up_slots(model, graph, seed, batch, steps, shapes)
            again = runner.run([slot.cases for slot in others], _optional(others))
            if _taken(again) > _taken(answers):
                slots, answers = others, again
    except LstmEngineError as error:
        report.unchecked.append(str(error))
        return slots, None
    report.remarks += answers.remarks
    refusals = list(dict.fromkeys(answer.error for answer in answers.cases if answer.error))
    if not _taken(answers):
        report.unchecked.append(f"{answers.version} takes none of the inputs: {refusals[0] if refusals else 'none'}; "
                                "give some with --inputs (inputs=), or sizes with --batch and --steps")
        return slots, None
    return slots, answers


def _optional(slots: list[Slot]) -> list[int]:
    return [place for place, slot in enumerate(slots) if slot.optional]


def _taken(answers: Answers) -> int:
    """The inputs that a framework ran."""
    return sum(answer.error is None and not answer.skipped for answer in answers.cases)


def _why_not(runner: Source, source: Any, reference: bool) -> list[str]:
    """Why the source was not run at all; nothing where its framework was tried and has said so itself."""
    if source is None:
        return ["no source was given (--source, source=): the import was not checked"]
    if runner.run is None:
        return [runner.reason]
    return [f"{runner.name} was not run, as asked for: the import was not checked"] if reference else []


def _imported(report: Report, source: Any, options: ImportOptions) -> Graph | None:
    """The source as we import it; None, with a remark, where that cannot be."""
    from .. import format
    from ..importers import import_graph

    try:
        if isinstance(source, (str, os.PathLike)) and frameworks.is_own(Path(source)):
            return format.load(source)
        return import_graph(source, options)
    except LstmEngineError as error:
        if isinstance(error, OSError):
            raise
        report.remarks.append(f"the source cannot be imported here ({error}); the engine is checked on the model")
        return None


def _as_its_source(model: Model, source: Any, options: ImportOptions) -> bool:
    """Whether a model's weights are the source's own: float ones, or int8 as the source holds it."""
    quantization = model.quantization
    if quantization is None:
        return True
    if not {layer.type for layer in quantization.layers} <= {"float32", "int8_weights"}:
        return False
    theirs = _imported(Report(), source, options)
    return theirs is not None and same_quantised(model.graph, theirs)


def _check_engine(report: Report, model: Model, graph: Graph, slots: list[Slot], tolerance: float | None) -> None:
    report.against = NAMED
    _compare(report, model, slots, reference_answers(graph, [slot.cases for slot in slots]), "the reference", tolerance)
    report.checked = [f"the engine alone: {sentence}" for sentence in report.checked]


def _beside_float(report: Report, model: Model, slots: list[Slot], answers: Answers, framework: str) -> None:
    """A quantised model beside its float source: how far they are apart is told and not judged, for what quantisation
    changes does not follow from how exact the framework is. The engine is checked on the model as it is."""
    _compare(report, model, slots, answers, framework, math.inf)
    engine = Report()
    _check_engine(engine, model, model.graph, slots, None)
    report.checked = engine.checked
    report.differences += [f"the engine beside {NAMED}: {sentence}" for sentence in engine.differences]
    report.unchecked += engine.unchecked
    report.remarks += engine.remarks
    furthest = max((figures.found.absolute for figures in report.outputs.values()), default=0.0)
    report.unchecked.append(f"the weights are {model.weight_dtype}, the source's are not: the outputs are up to "
                            f"{furthest:.2g} apart, which is told and not judged. Verify the float model that this one "
                            "was made of, or say with --tolerance (tolerance=) how far they may be apart")
    report.why = f"none beside the float source; the engine: {engine.why}"


def _compare(report: Report, model: Model, slots: list[Slot], answers: Answers, framework: str,
             tolerance: float | None) -> None:
    """Judge every output, family by family, and write it into the report."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    names = list(model.outputs)
    ran: list[str] = []                                 # the family of each input that was compared
    refused_by_us, number = [], 0
    for slot in slots:
        for ours in slot.ours:
            answer = answers.cases[number]
            number += 1
            if answer.error is not None or answer.skipped:
                continue
            if isinstance(ours, str):
                refused_by_us += [] if slot.optional else [f"{slot.family}: {ours}"]
                continue
            ran.append(slot.family)
            _collect(report, samples, slot, ours, answer, names, framework)
    if refused_by_us:
        report.unchecked.append(f"{len(refused_by_us)} inputs that {answers.version} takes are refused here, the first "
                                f"with: {refused_by_us[0]}")
    errors = [answer.error for answer in answers.cases if answer.error]
    missed = len(slots) - len(_optional(slots)) - len(ran) - len(refused_by_us)
    if errors and missed > 0:
        report.remarks.append(f"{missed} of {len(slots)} inputs were refused by {answers.version}, the first with: "
                              f"{errors[0]}")
    for name in names:
        _judge_output(report, name, samples.get(name, {}), answers.version, tolerance)
    if ran and not report.differences:
        kinds = list(dict.fromkeys(ran))
        report.checked.append(f"{_outputs(len(names))} against {report.against}, on {len(ran)} inputs: "
                              + ", ".join(kinds))
    report.why = f"{tolerance:g} as given (absolute; relative above 1)" if tolerance is not None else (
        f"{FACTOR:g} times how far {answers.version.partition(':')[0]} is itself off when weights and inputs are moved "
        "by one unit in the last place, or from its float64 run; and "
        f"{UNITS:g} units in the last place of an output's size")


def _collect(report: Report, samples: dict[str, dict[str, list[Sample]]], slot: Slot, ours: Arrays, answer: Answer,
             names: list[str], framework: str) -> None:
    """One case's outputs beside the framework's, those of another shape or kind as differences."""
    theirs = frameworks.by_our_names(names, answer, framework)
    nudged = [frameworks.by_our_names(names, answer, framework, one) for one in answer.nudged]
    exact = None if answer.exact is None else frameworks.by_our_names(names, answer, framework, answer.exact)
    more = [name for place, name in enumerate(answer.names) if len(answer.names) > len(names)
            and (name not in names if set(names) <= set(answer.names) else place >= len(names))]
    if more:
        sentence = f"the source has {len(more)} more outputs than the model: {', '.join(more)}"
        report.unchecked += [] if sentence in report.unchecked else [sentence]
    for name in names:
        if ours[name].shape == theirs[name].shape and _kind(ours[name]) == _kind(theirs[name]):
            samples.setdefault(name, {}).setdefault(slot.family, []).append(
                Sample(ours[name], theirs[name], [one[name] for one in nudged], None if exact is None else exact[name]))
        elif not any(sentence.startswith(f"output {name!r} is ") for sentence in report.differences):
            report.differences.append(f"output {name!r} is {ours[name].dtype} of shape {list(ours[name].shape)}, the "
                                      f"source's {theirs[name].dtype} of shape {list(theirs[name].shape)} "
                                      f"({slot.family})")


def _outputs(count: int) -> str:
    return "1 output" if count == 1 else f"{count} outputs"


def _kind(array: np.ndarray) -> str:
    return "i" if array.dtype.kind in "iu" else array.dtype.kind


def _judge_output(report: Report, name: str, families: dict[str, list[Sample]], version: str,
                  tolerance: float | None) -> None:
    figures = report.outputs[name] = Figures()
    trusted = all(exact_is_the_same_function(samples) for samples in families.values()) and bool(families)
    for family, samples in families.items():
        verdict = judge(samples, trusted)
        if tolerance is not None:
            verdict.used, verdict.tolerance, verdict.undecided = verdict.found.scaled / tolerance, tolerance, 0
        _add(figures, verdict, family, samples)
    if figures.used > 1:
        report.differences.append(
            f"output {name!r} differs from {version} by up to {figures.found.absolute:.2g}; worst on {figures.where}, "
            f"where {figures.tolerance:.2g} is allowed")
    elif figures.count and not figures.decided:
        report.unchecked.append(f"output {name!r}: {version} itself moves by more than a hundredth where weights and "
                                "inputs move by one unit in the last place, so agreement says little; give typical "
                                "--inputs")
    elif figures.undecided:
        report.remarks.append(f"output {name!r}: {figures.undecided:,} of {figures.count:,} numbers are undecided: "
                              f"{version} itself changes them when weights and inputs move by one unit"
                              + (f"; {figures.differing:,} of them differ" if figures.differing else ""))
    if not figures.count and not report.differences:
        report.unchecked.append(f"output {name!r} was compared on no inputs")


def _add(figures: Figures, verdict: Verdict, family: str, samples: list[Sample]) -> None:
    figures.shape = max([figures.shape, *(list(sample.ours.shape) for sample in samples)], key=np.prod)
    figures.cases += len(samples)
    figures.found.add(verdict.found)
    figures.ours_off, figures.theirs_off = max(figures.ours_off, verdict.ours_off), max(figures.theirs_off,
                                                                                        verdict.theirs_off)
    figures.undecided += verdict.undecided
    figures.differing += verdict.differing
    figures.count += verdict.count
    figures.decided |= verdict.decides
    if verdict.used >= figures.used:
        figures.used, figures.tolerance, figures.where = verdict.used, verdict.tolerance, family


def _stored(report: Report, model: Model, slots: list[Slot], outputs: Mapping[str, Any], tolerance: float) -> Report:
    """The model's outputs beside stored ones, for one set of inputs."""
    (slot,) = slots
    ours = slot.ours[0]
    if isinstance(ours, str):
        raise ArgumentError(f"inputs: {ours}")
    report.against = "stored outputs"
    if set(outputs) != set(ours):
        raise FormatError(f"stored outputs: {', '.join(outputs) or 'none'}; the model's outputs are {', '.join(ours)}")
    for name, array in ours.items():
        right = np.asarray(outputs[name])
        if right.shape != array.shape or right.dtype.kind not in "fiub":
            raise FormatError(f"stored output {name!r} is {right.dtype} of shape {list(right.shape)}; the model's is "
                              f"{array.dtype} of shape {list(array.shape)}")
        if array.dtype.kind != right.dtype.kind:
            array, right = array.astype(np.float64), right.astype(np.float64)
        _judge_output(report, name, {slot.family: [Sample(array, right)]}, report.against, tolerance)
    if not report.differences:
        report.checked.append(f"{_outputs(len(ours))} against stored outputs")
    elif model.quantization is not None:
        report.remarks.append(f"the weights are {model.weight_dtype}: where the stored outputs are those of a float "
                              "model, say with --tolerance (tolerance=) how far these may be from them")
    report.why = f"{tolerance:g} (absolute; relative above 1)"
    return report
