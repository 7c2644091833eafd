"""Make a model's weights smaller: int8, bfloat16 or float16 in place of float32.

Prints what became of each layer. --eval runs the float model and the quantised one on inputs of yours, and prints how
far every output moved and how many decisions changed: which of the last axis is largest, or on which side of 0.5 a
probability is. --tolerance with it quantises only layers that keep every output so near."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any, get_args

from ..types import WeightType
from .arguments import UsageError, add_model, add_readings, add_spec, is_lstm, open_model, print_json
from .console import note, table
from .limit_arguments import add_limits
from .values import layer_type, path, positive

if TYPE_CHECKING:
    from ..graph.quantization import OutputDifference, Quantization

WEIGHT_TYPES = get_args(WeightType)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("-o", "--output", type=path, required=True, metavar="OUT.lstm", help="where to write")
    parser.add_argument("--to", required=True, choices=WEIGHT_TYPES,
                        help="the type of all layers that --layer does not name (float32: as they are)")
    parser.add_argument("--layer", type=layer_type, action="append", metavar="NAME=TYPE",
                        help="the type of one layer, such as fc=float32 or lstm=int8_weights; may be repeated")
    parser.add_argument("--eval", dest="data", type=path, metavar="IN.npz",
                        help="arrays by input name, on which the outputs are compared with the float model's")
    parser.add_argument("--tolerance", type=positive, metavar="T",
                        help="with --eval: the largest difference of any output; layers that exceed it stay float32")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_limits(parser, runs=True)
    add_readings(parser)
    add_spec(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..quantizing import quantize
    from .reading import load_npz
    from .writing import keeping_what_is_read, refuse_to_replace

    target = arguments.output
    if not is_lstm(target):
        raise UsageError(f"--output {target}: the name must end in .lstm")
    if arguments.tolerance is not None and arguments.data is None:
        raise UsageError("--tolerance needs --eval, the inputs on which the outputs are compared")
    layers = _layers(arguments)
    refuse_to_replace(target, {"MODEL": arguments.model, "--eval": arguments.data, "--spec": arguments.spec,
                               "--weights": arguments.weights})
    with keeping_what_is_read(target):
        model = open_model(arguments)
    small = quantize(model, arguments.to, layers=layers, data=load_npz(arguments.data) if arguments.data else None,
                     tolerance=arguments.tolerance)
    small.save(target)
    report = small.quantization
    assert report is not None
    size = target.stat().st_size
    if arguments.json:
        print_json({"output": str(target), "file_bytes": size, "weight_dtype": small.weight_dtype,
                    **dataclasses.asdict(report)})
    else:
        print(table(_layer_rows(report), right=range(3, 7)))
        if report.outputs:
            print()
            print(table(_output_rows(report.outputs), right=range(1, 5)))
    note(f"wrote {target}, {size:,} bytes; weights {report.bytes:,} bytes, in float32 {report.bytes_before:,}")
    return 0


def _layers(arguments: argparse.Namespace) -> dict[str, Any]:
    layers: dict[str, Any] = {}
    for layer, kind in arguments.layer or ():
        if kind not in WEIGHT_TYPES:
            raise UsageError(f"--layer {layer}={kind}: the type is one of {', '.join(WEIGHT_TYPES)}")
        if layers.setdefault(layer, kind) != kind:
            raise UsageError(f"--layer: layer {layer!r} is given {layers[layer]} and {kind}")
    return layers


def _layer_rows(report: Quantization) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("layer", "kind", "weights", "float32 bytes", "bytes", "largest error",
                                    "rms error")]
    for layer in report.layers:
        error = layer.error
        rows.append((layer.name, layer.op, layer.type, f"{layer.bytes_before:,}", f"{layer.bytes:,}",
                     *(("", "") if error is None else (f"{error.largest:.2e}", f"{error.rms:.2e}"))))
    return rows


def _output_rows(outputs: tuple[OutputDifference, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("output", "largest difference", "rms", "decisions", "changed")]
    for one in outputs:
        decided = (f"{one.decisions:,}", f"{one.changed:,} ({one.changed / one.decisions:.2%})") if one.decisions \
            else ("", "")
        rows.append((one.name, f"{one.largest:.2e}", f"{one.rms:.2e}", *decided))
    return rows
