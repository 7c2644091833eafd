"""What an ONNX model means: read, simplified, then mapped step by step to a Graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....errors import FormatError, GraphError, UnsupportedError
from ....graph import DTYPES, Graph, Operator
from ....graph.nodes import every_node
from ....graph.stored import with_int8
from ...base import ImportOptions
from ..model import UNKNOWN_RANK, OnnxModel
from ..reading.options import apply_options
from ..simplifying.dequantised import shown
from ..simplifying.fold import Folded, fold
from ..simplifying.half import in_float32
from ..simplifying.ranks import with_open_inputs
from ..simplifying.recurrent import Cell
from ..simplifying.steps import Turned
from . import cells, movement, rowwise
from .fuse import fused
from .mapper import Mapper

MOST_SHOWN = 8          # names of nodes in what is said of a model


def to_graph(model: OnnxModel, options: ImportOptions, path: str = "") -> Graph:
    """The graph of a model. path: put before messages, "" for a live model.

    Raises FormatError for a model that is not well formed, UnsupportedError naming the node and operator that
    cannot be run, ArgumentError for options that do not fit the model, FileError for a spec that cannot be read.
    """
    prefix = f"{path}: " if path else ""
    model, fixed = apply_options(with_open_inputs(model), options)    # a bad spec is no fault of the model's file
    try:
        _check_inputs(model, fixed)
        return _mapped(in_float32(fold(model, fixed)))
    except UnsupportedError as error:
        raise UnsupportedError(f"{prefix}{error}") from error
    except (FormatError, GraphError) as error:
        raise FormatError(f"{prefix}{error}") from error


def _check_inputs(model: OnnxModel, fixed: dict[str, np.ndarray]) -> None:
    for value in model.graph.inputs:
        if value.name in fixed or value.dtype in DTYPES:
            continue
        if value.dtype.removesuffix(UNKNOWN_RANK) in DTYPES:
            raise UnsupportedError(f"input {value.name!r} is of {value.dtype}: the file gives it no shape; give it, "
                                   f"None for each open size: spec={{'shapes': {{{value.name!r}: [None, ...]}}}}")
        raise UnsupportedError(f"input {value.name!r} is of {value.dtype}; supported: {', '.join(DTYPES)}")
    if not model.graph.outputs:
        raise FormatError("the model has no outputs")


def _mapped(folded: Folded) -> Graph:
    """All steps, then the outputs under their names, then what can be fused."""
    made, mapper = _nodes(folded)
    metadata = {"source": "onnx", "opset": str(folded.opset)}
    if folded.producer:
        metadata["producer"] = folded.producer
    metadata |= {key: ", ".join(said) for key, said in folded.notes.items()}
    if whole := shown(folded.whole):
        metadata["stored_as_integers"] = whole
    by_batch = [node.name for node in every_node(made) if isinstance(node, Operator)
                and node.op_type in ("DynamicQuantizeLinear", "DynamicQuantizeLSTM")]
    if by_batch:
        metadata["rounded_by_batch"] = ", ".join(by_batch[:MOST_SHOWN]) + (
            f" and {len(by_batch) - MOST_SHOWN} more" if by_batch[MOST_SHOWN:] else "")
    if folded.most_steps is not None:
        metadata["most_steps"] = str(folded.most_steps)
    made = fused(replace(made, metadata=metadata), mapper.build.values, mapper.derived)
    return with_int8(made, [whole.scale for whole in folded.whole.values()])


def _nodes(folded: Folded) -> tuple[Graph, Mapper]:
    """All steps as nodes, and the outputs under their names."""
    mapper = Mapper(folded)
    for step in folded.steps:
        if isinstance(step, Cell):
            cells.add(mapper, step)
        elif isinstance(step, Turned):
            mapper.loop(step, _body(folded, step))
        elif not movement.follow(mapper, step) and not rowwise.add(mapper, step):
            mapper.keep(step)
    outputs = [mapper.output(name, value) for name, value in folded.outputs.items()]
    return Graph(tuple(folded.inputs), tuple(mapper.build.nodes), tuple(outputs)), mapper


def _body(folded: Folded, step: Turned) -> Graph:
    """The graph inside a loop."""
    made, mapper = _nodes(replace(folded, inputs=list(step.given), steps=list(step.steps), outputs=step.made,
                                  half_outputs=frozenset()))
    return fused(made, mapper.build.values, mapper.derived)
