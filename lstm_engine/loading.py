"""Models from files: the `*.lstm` file, and checkpoints of other frameworks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from .arguments import path_text
from .entry import entry
from .errors import AssumptionWarning
from .limits import Limits, check_size, checked_limits
from .model import Model, handed_over
from .notes import notes
from .types import Dtype, Gemm, PoolReading


@entry
def load(path: str | os.PathLike[str], *, gemm: Gemm = "packed", dtype: Dtype | None = None,
         limits: Limits | None = None) -> Model:
    """The model in a `*.lstm` file. limits: what it and its calls may take (docs/limits.md).

    Raises FileError if it cannot be read, FormatError naming the wrong part, LimitError.
    """
    from . import format

    limits, path = checked_limits(limits), path_text(path, "load")
    check_size(path, limits)
    return Model(handed_over(format.load(path)), gemm=gemm, dtype=dtype, limits=limits)


@entry
def convert(source: Any, *, gemm: Gemm = "packed", dtype: Dtype | None = None,
            spec: Mapping[str, Any] | str | os.PathLike[str] | None = None, pool: PoolReading | None = None,
            activations: Mapping[str, str] | None = None, order: Sequence[str] | None = None,
            example_inputs: Any = None, weights: str | os.PathLike[str] | None = None,
            limits: Limits | None = None) -> Model:
    """A model from a checkpoint of another framework, or from a live keras.Model, torch.nn.Module or onnx.ModelProto.

    source: a path (.keras, .h5, .json, .pt, .pth, .pt2, .safetensors, .onnx, .npz) or a live model.
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
    from .importers import ImportOptions, import_graph

    options = ImportOptions(pool=pool, spec=spec, activations=activations, order=order,
                            example_inputs=example_inputs,
                            weights=None if weights is None else path_text(weights, "weights"))
    limits = checked_limits(limits)
    if isinstance(source, (str, os.PathLike)):
        check_size(path_text(source, "convert"), limits)
    graph = import_graph(source, options)
    from_file = isinstance(source, (str, os.PathLike))
    model = Model(handed_over(graph) if from_file else graph, gemm=gemm, dtype=dtype, limits=limits)
    if not from_file:
        from .agreement import check_agreement

        # In the type that the source itself computes in, whatever was asked for.
        check_agreement(model if dtype is None else Model(graph), graph.metadata, source, example_inputs)
    for note in notes(graph.metadata):
        warnings.warn(note, UserWarning, stacklevel=3)
    if model.assumptions:
        warnings.warn(f"{source} holds weights alone, not the program around them. Assumed: "
                      f"{'; '.join(model.assumptions)}. Settle it with pool=, activations=, order= or spec= "
                      "(docs/spec.md), or convert the program itself: a .pt2 file of torch.export", AssumptionWarning,
                      stacklevel=3)
    return model
