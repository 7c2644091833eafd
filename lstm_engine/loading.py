"""Models from files: the `*.lstm` file, and checkpoints of other frameworks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import path_text
from .entry import entry
from .errors import ArgumentError, AssumptionWarning
from .files import cannot_read, open_regular
from .limits import Limits, check_size, checked_limits
from .model import Model, handed_over
from .notes import notes
from .types import Dtype, Gemm, PoolReading

if TYPE_CHECKING:
    from .importers import ImportOptions

HEAD_BYTES = 64             # enough to know a file of ours


@entry
def load(path: str | os.PathLike[str], *, gemm: Gemm = "packed", dtype: Dtype | None = None,
         limits: Limits | None = None) -> Model:
    """The model in a `*.lstm` file, or in any checkpoint that `convert` reads without being told more.

    limits: what it and its calls may take (docs/limits.md).
    Raises FileError if it cannot be read, FormatError naming the wrong part, LimitError; for a checkpoint what
    `convert` raises.
    """
    from . import format

    limits, path = checked_limits(limits), path_text(path, "load")
    if not _is_own(path):
        from .importers import ImportOptions

        return _converted(path, ImportOptions(), gemm, dtype, limits)
    check_size(path, limits)
    return Model(handed_over(format.load(path)), gemm=gemm, dtype=dtype, limits=limits)


@entry
def convert(source: Any, *, gemm: Gemm = "packed", dtype: Dtype | None = None,
            spec: Mapping[str, Any] | str | os.PathLike[str] | None = None, pool: PoolReading | None = None,
            activations: Mapping[str, str] | None = None, order: Sequence[str] | None = None,
            example_inputs: Any = None, weights: str | os.PathLike[str] | None = None,
            limits: Limits | None = None) -> Model:
    """A model from a checkpoint of another framework, or from a live keras.Model, torch.nn.Module or onnx.ModelProto.

    source: a path (.keras, .h5, .json, .pt, .pth, .pt2, .safetensors, .onnx, .npz; a .lstm file is loaded) or a live
        model.
    weights: the file of a model's arrays, where `source` is the JSON of a Keras model (`to_json()`, `get_config()`);
        found beside it where only one is called like it (model.json, model.weights.h5 or model.h5).
    example_inputs: the arguments of a torch module's forward, of at least 2 rows and 2 steps: it is traced on them by
        torch.export, and the model is then compared with the module on other inputs and sizes; sizes that torch fixes
        are fixed in `inputs`, and a warning names them (docs/programs.md).
    What a file of weights alone cannot say (docs/spec.md): spec (a mapping, or the path of a JSON file), or
    pool: how the sequence is reduced behind the last recurrent layer: "last", "step" (output[:, -1]), "state" (h_n),
        "mean", "max"; "none" gives every step.
    activations: {layer: activation}: {"fc": "relu"}, "none" for none; of an nn.RNN "tanh" or "relu".
    order: the layers by name, from the input to the output.
    What stays open and has a usual meaning is assumed: an AssumptionWarning lists it, `Model.assumptions` keeps it.
    limits: what the model and its calls may take (docs/limits.md); the model's file does not hold them.
    A live Keras model is compared with its own outputs on inputs made up for it. What the caller must know of a model
    (stateful layers) is a UserWarning.
    Raises FileError, FormatError, UnsupportedError (naming the layer, or the readings that are possible),
    MissingDependencyError (naming the extra), LimitError, LstmEngineError where a model differs from its live module.
    """
    from .importers import ImportOptions

    options = ImportOptions(pool=pool, spec=spec, activations=activations, order=order,
                            example_inputs=example_inputs,
                            weights=None if weights is None else path_text(weights, "weights"))
    limits = checked_limits(limits)
    if isinstance(source, (str, os.PathLike)) and _is_own(path_text(source, "convert")):
        if given := [name for name, value in vars(options).items() if value is not None]:
            raise ArgumentError(f"{source} is a .lstm file, which says itself what it computes; {', '.join(given)} "
                                "cannot be given")
        return load(source, gemm=gemm, dtype=dtype, limits=limits)
    return _converted(source, options, gemm, dtype, limits)


def _is_own(path: str) -> bool:
    """Whether a file is called as ours are, or begins as they do. Raises FileError."""
    from .format.header import begins_so

    if path.lower().endswith(".lstm"):
        return True
    try:
        with open_regular(Path(path)) as file:
            return begins_so(file.read(HEAD_BYTES))
    except OSError as error:
        cannot_read(Path(path), error)


def _converted(source: Any, options: ImportOptions, gemm: Gemm, dtype: Dtype | None, limits: Limits) -> Model:
    """The model of a checkpoint or a live model, what its user must know of it said in warnings."""
    from .importers import import_graph

    from_file = isinstance(source, (str, os.PathLike))
    if from_file:
        check_size(path_text(source, "convert"), limits)
    graph = import_graph(source, options)
    model = Model(handed_over(graph) if from_file else graph, gemm=gemm, dtype=dtype, limits=limits)
    if not from_file:
        from .agreement import check_agreement

        # In the type that the source itself computes in, whatever was asked for.
        check_agreement(model if dtype is None else Model(graph), graph.metadata, source, options.example_inputs)
    for note in notes(graph.metadata):
        warnings.warn(note, UserWarning, stacklevel=4)           # the line that called `convert` or `load`
    if model.assumptions:
        warnings.warn(f"{source} holds weights alone, not the program around them. Assumed: "
                      f"{'; '.join(model.assumptions)}. Settle it with pool=, activations=, order= or spec= "
                      "(docs/spec.md), or convert the program itself: a .pt2 file of torch.export", AssumptionWarning,
                      stacklevel=4)
    return model
