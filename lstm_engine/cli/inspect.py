"""Show a model: inputs, outputs, layers, parameters, memory, origin.

--spec instead proposes a spec for weights alone (of PyTorch, .safetensors, .npz, HDF5, told by their content), or
for the inputs of a TorchScript archive: JSON to check, correct and give to the other commands as --spec FILE."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from ..texts import one_line
from .arguments import (
    UsageError,
    add_data_folder,
    add_model,
    add_readings,
    given_options,
    open_model,
    print_json,
)
from .limit_arguments import add_limits

if TYPE_CHECKING:
    from ..graph import Value
    from ..model import Model

def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_limits(parser, runs=False)
    add_readings(parser)
    add_data_folder(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--spec", dest="propose", action="store_true",
                       help="print a spec for a file of weights alone, or for TorchScript")


def run(arguments: argparse.Namespace) -> int:
    if arguments.propose:
        print_json(_spec(arguments))
        return 0
    from ..notes import notes

    model = open_model(arguments, say=False)          # it shows what was assumed among the facts
    if arguments.json:
        print_json(describe(model))
        return 0
    facts = [(kind, f"{value.name} {value.dtype} {shape(value)}")
             for kind, values in (("input", model.inputs), ("output", model.outputs)) for value in values.values()]
    facts += [(key, text) for key, text in model.graph.metadata.items() if key != "assumptions"]
    facts += [("assumed", sentence) for sentence in model.assumptions]
    if (padding := _padding(model)) is not None:
        facts.append(("mask", padding["note"]))
    facts += [("note", note) for note in notes(model.graph.metadata)]
    if (report := model.quantization) is not None:
        facts.append(("weights", f"{model.weight_dtype}, {report.bytes:,} bytes, in float32 {report.bytes_before:,}"))
    facts.append(("memory", ", ".join(f"{size:,} bytes of {name.replace('_', ' ')}"
                                      for name, size in model.memory().items() if size)))
    width = max(len(name) for name, _ in facts)
    for name, text in facts:
        print(f"{one_line(name):<{width}}  {one_line(text)}")
    print()
    for line in model.summary().split("\n"):
        print(one_line(line))
    return 0


def _spec(arguments: argparse.Namespace) -> dict[str, Any]:
    from ..errors import ArgumentError
    from ..importers.drafts import propose_spec
    from ..loading import is_own

    if given := given_options(arguments):
        raise UsageError(f"{' and '.join(given)} and --spec exclude each other: a spec says it in its nodes")
    if not os.path.isdir(arguments.model) and is_own(arguments.model):
        raise UsageError(f"--spec is for files of weights alone; {arguments.model} says itself what it computes")
    try:
        return propose_spec(arguments.model)
    except ArgumentError as error:
        raise UsageError(f"--spec: {error}") from error


def shape(value: Value) -> str:
    """A value's shape as it is printed: [batch, time, 100]."""
    return f"[{', '.join(map(str, value.shape))}]"


def describe(model: Model) -> dict[str, Any]:
    """What `--json` prints."""
    from ..notes import notes
    from ..operators import infer_shapes
    from ..summary import describe as in_words
    from ..summary import parameters_of

    values = infer_shapes(model.graph)
    layers = []
    for node in model.graph.nodes:
        outputs = [name for name in node.outputs if name]
        layers.append({"name": node.name, "op": node.op, "description": in_words(node), "outputs": outputs,
                       "shape": list(values[outputs[0]].shape) if outputs else None,
                       "parameters": parameters_of(node)})
    return {
        "inputs": [_value(value) for value in model.inputs.values()],
        "outputs": [_value(value) for value in model.outputs.values()],
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "dtype": model.dtype,
        "weight_dtype": model.weight_dtype,
        "quantization": None if (report := model.quantization) is None else dataclasses.asdict(report),
        "isa": model.isa,
        "gemm": model.gemm,
        "memory": model.memory(),
        "metadata": dict(model.graph.metadata),
        "padding": _padding(model),
        "assumptions": list(model.assumptions),
        "notes": notes(model.graph.metadata),
    }


def _padding(model: Model) -> dict[str, Any] | None:
    """Whether a mask tells padding from data, layer by layer; None for a model without sequences."""
    from ..plan.ragged import padding_of

    padding = padding_of(model._plan.skeleton, model._plan.values)
    if padding is None:
        return None
    return {"mask": padding.mask, "masked": list(padding.masked), "unmasked": list(padding.unmasked),
            "note": padding.note}


def _value(value: Value) -> dict[str, Any]:
    said: dict[str, Any] = {"name": value.name, "shape": list(value.shape), "dtype": value.dtype}
    if (reading := value.reading) is not None:
        said["texts"] = {"note": str(reading), "vocabulary": len(reading.vocabulary), **reading.settings()}
    return said
