"""Models from files: the `*.lstm` file, and checkpoints of other frameworks."""

from __future__ import annotations

import errno
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from .arguments import named_classes, path_text
from .entry import entry
from .errors import ArgumentError, ArgumentTypeError, AssumptionWarning, FileError
from .files import HEAD_BYTES, Held, ModelFile, begins_json, first_bytes
from .graph.stored import with_floats
from .limits import Limits, check_size, checked_limits
from .model import Model, handed_over
from .notes import notes
from .types import Dtype, Gemm, ModelSource, PoolReading

if TYPE_CHECKING:
    from .importers import ImportOptions


@entry
def load(path: ModelSource, *, gemm: Gemm = "packed", dtype: Dtype | None = None,
         data_folder: str | os.PathLike[str] | None = None, limits: Limits | None = None) -> Model:
    """The model in a `*.lstm` file, or in any checkpoint that `convert` reads without being told more.

    path: a path, also of a folder as Hugging Face lays it out; or the bytes of the file; or a binary file that is open
        (`open(path, "rb")`, io.BytesIO), read from where it stands to its end, and left open there. What bytes are is
        told by themselves.
    data_folder: where else the external data of an ONNX model may lie (`convert`).
    limits: what it and its calls may take (docs/limits.md); no more is read of an open file.
    Raises FileError if it cannot be read, FormatError naming the wrong part, LimitError; for a checkpoint what
    `convert` raises.
    """
    limits = checked_limits(limits)
    plain = _is_plainly_own(path)
    source: Any = path if plain else _file(path, limits, "load", "; convert takes live models")
    if plain or is_own(source):
        return _own(source, gemm, dtype, limits, () if data_folder is None else ("data_folder",))
    from .importers import ImportOptions

    options = ImportOptions(data_folder=_path(data_folder, "data_folder"), limits=limits)
    return _converted(source, options, gemm, dtype, limits)


@entry
def convert(source: Any, *, gemm: Gemm = "packed", dtype: Dtype | None = None,
            spec: Mapping[str, Any] | str | os.PathLike[str] | None = None, pool: PoolReading | None = None,
            activations: Mapping[str, str] | None = None, order: Sequence[str] | None = None,
            example_inputs: Any = None, weights: ModelSource | None = None,
            data_folder: str | os.PathLike[str] | None = None, custom_objects: Mapping[str, str] | None = None,
            limits: Limits | None = None) -> Model:
    """A model from a checkpoint of another framework, or from a live keras.Model, torch.nn.Module or onnx.ModelProto.

    source: a path (.keras, .h5, .json, .pt, .pth, .pt2, .safetensors, .onnx, .npz; a .lstm file is loaded), the bytes
        of such a file or an open binary file (as in `load`), or a live model; or the path of a folder as Hugging Face
        lays it out (config.json beside model.safetensors or pytorch_model.bin, whole or in shards), or of the index of
        its shards.
    weights: the file of a model's arrays (a path, bytes or an open file), where `source` is the JSON of a Keras model
        (`to_json()`, `get_config()`); found beside it where only one is called like it (model.json, model.weights.h5 or
        model.h5).
    custom_objects: {name of a class in a Keras file: what it is}, where Keras lacks the class and the file cannot say:
        "keras_contrib.layers.CRF", or the layer of Keras that it computes (docs/keras.md). Nothing is imported.
    data_folder: where the external data of an ONNX model is looked for before the folder of its file. Links among the
        data are followed into this folder, that of the model, and where the model's file is a link itself, the one it
        leads into (as in Hugging Face's cache), and nowhere else.
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

    limits = checked_limits(limits)
    given: dict[str, Any] = {
        "pool": pool, "spec": spec, "activations": activations, "order": order, "example_inputs": example_inputs,
        "weights": None if weights is None else _file(weights, limits, "weights"),
        "data_folder": _path(data_folder, "data_folder"), "custom_objects": named_classes(custom_objects)}
    source = _opened(source, limits, "convert")
    if _is_file(source) and is_own(source):
        return _own(source, gemm, dtype, limits, [name for name, value in given.items() if value is not None])
    options = ImportOptions(**given, limits=limits)
    return _converted(source, options, gemm, dtype, limits)


def _path(given: Any, what: str) -> str | None:
    return None if given is None else path_text(given, what)


def _own(source: ModelFile | str, gemm: Gemm, dtype: Dtype | None, limits: Limits, given: Sequence[str]) -> Model:
    """The model in a file of ours. given: names of options that are for others."""
    from . import format

    if given:
        raise ArgumentError(f"{source} is a .lstm file, which says itself what it computes; {', '.join(given)} "
                            "cannot be given")
    if not isinstance(source, Held):
        check_size(str(source), limits)
    return Model(handed_over(format.load_checked(source)), gemm=gemm, dtype=dtype, limits=limits)


def _is_plainly_own(path: Any) -> bool:
    """Whether it is the path of a file that is called and begins as ours do, as a str: such a one is opened without
    pathlib, whose loading is an eighth of what a first `load` takes. What else is wrong, the long way says."""
    if type(path) is not str or not path.lower().endswith(".lstm"):
        return False
    from .format.header import begins_so

    try:
        return begins_so(first_bytes(path, HEAD_BYTES))
    except FileError:
        return False


def _is_file(source: Any) -> TypeGuard[ModelFile]:
    """Of what `_opened` gives: whether it is no live model."""
    return isinstance(source, (os.PathLike, Held))


def _file(source: Any, limits: Limits, what: str, advice: str = "") -> ModelFile:
    """What a caller hands over as a file, and not as a live model. Raises as `_opened`."""
    opened = _opened(source, limits, what)
    if not _is_file(opened):
        raise ArgumentTypeError(f"{what}: expected a path (str or os.PathLike), bytes or an open binary file, not "
                                f"{type(source).__name__}{advice}")
    return opened


def _opened(source: Any, limits: Limits, what: str) -> Any:
    """What a caller hands over: a Path, a Held for bytes and open files; a live model, which `convert` takes, as it is.

    Raises ArgumentTypeError for anything else, FileError and LimitError for an open file, FormatError for one that does
    not begin as a model does.
    """
    if isinstance(source, (str, os.PathLike)):
        from pathlib import Path

        path = Path(path_text(source, what))
        if not os.path.isdir(path):
            return path
        from .importers import weights_in

        return weights_in(path)
    from . import handed

    if handed.is_bytes(source):
        return handed.held_bytes(source, limits)
    if not isinstance(source, io.IOBase):
        from .importers import live_importer

        if live_importer(source) is not None or not handed.is_file(source):
            return source
    return handed.held_file(source, limits, HEAD_BYTES, _check_begin)


def _check_begin(begin: Held) -> None:
    """Raise FormatError for the first bytes of a file that no reader knows."""
    if not is_own(begin) and not begins_json(begin.data):           # JSON may say late what it is
        from .importers import importer_of

        importer_of(begin, begin.data)


def is_own(path: ModelFile) -> bool:
    """Whether a file is called as ours are, or begins as they do. Raises FileError; FormatError or UnsupportedError for
    one that is called so and is something else."""
    from .format.header import begins_so

    try:
        head = first_bytes(path, HEAD_BYTES)
    except FileError as error:
        if error.errno in (errno.EISDIR, errno.EACCES):        # what systems say of a folder
            from .importers import refuse_folder, weights_in

            if not isinstance(path, Held) and weights_in(path) != path:
                return False
            refuse_folder(path)
        raise
    if begins_so(head) or path.suffix.lower() != ".lstm":
        return begins_so(head)
    if head[8:9] == b"{":                               # as ours does: damaged
        return True
    from .importers import knows, refuse_foreign

    if knows(head):
        return False
    refuse_foreign(path, head)
    return True


def _converted(source: Any, options: ImportOptions, gemm: Gemm, dtype: Dtype | None, limits: Limits) -> Model:
    """The model of a checkpoint or a live model, what its user must know of it said in warnings."""
    from .importers import import_checked

    from_file = _is_file(source)
    if isinstance(source, os.PathLike):
        check_size(str(source), limits)
    checked = import_checked(source, options)
    graph = checked.graph
    if dtype == "float64":                  # in which no quantised layer computes
        checked = checked._replace(graph=with_floats(graph))
    model = Model(handed_over(checked) if from_file else checked, gemm=gemm, dtype=dtype, limits=limits)
    if not from_file:
        from .agreement import check_agreement

        # In the type that the source itself computes in, whatever was asked for.
        check_agreement(model if dtype is None else Model(checked), graph.metadata, source, options.example_inputs)
    for note in notes(graph.metadata):
        warnings.warn(note, UserWarning, stacklevel=4)           # the line that called `convert` or `load`
    if model.assumptions:
        warnings.warn(f"{source} holds weights alone, not the program around them. Assumed: "
                      f"{'; '.join(model.assumptions)}. Settle it with pool=, activations=, order= or spec= "
                      "(docs/spec.md), or convert the program itself: a .pt2 file of torch.export", AssumptionWarning,
                      stacklevel=4)
    return model
