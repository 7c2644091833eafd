"""Finds the importer of a source, and runs it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from ..arguments import path_text
from ..errors import ArgumentError, ArgumentTypeError, FileError, FormatError, LstmEngineError, OutOfMemoryError
from ..files import HEAD_BYTES, Held, ModelFile, first_bytes, telling_bytes
from ..graph import Graph
from ..operators import Checked, check_types, checked
from .base import OWN_OPTIONS, Importer, ImportOptions
from .folders import file_of, refuse_folder
from .reading.foreign import refuse_foreign

# The order matters where two could claim one file: the stricter looks first.
IMPORTERS = ("keras", "onnx", "torch", "arrays")


def _importers() -> list[Importer]:
    return [importlib.import_module(f"{__package__}.{name}") for name in IMPORTERS]


def _read(importer: Importer, path: ModelFile, options: ImportOptions) -> Checked:
    try:
        return _checked(importer, importer.read(path, options))
    except RecursionError as error:
        raise FormatError(f"{path}: it is nested too deeply") from error
    except MemoryError as error:
        if isinstance(error, LstmEngineError):
            raise
        raise OutOfMemoryError(f"{path}: not enough memory for its tensors ({error})") from error


def import_graph(source: object, options: ImportOptions = ImportOptions()) -> Graph:  # noqa: B008  (frozen)
    """The checked graph of a checkpoint (a path, or its bytes held in memory) or of a live model. Raises as
    `import_checked`."""
    return import_checked(source, options).graph


def import_checked(source: object, options: ImportOptions) -> Checked:
    """The graph of a checkpoint (a path, or its bytes held in memory) or of a live model, and the shapes of its values.

    Raises FileError if the file cannot be read, FormatError if no importer knows it or its bytes are wrong,
    UnsupportedError for a layer that is not supported, ArgumentTypeError for an object that is no model.
    """
    if isinstance(source, (str, os.PathLike, Held)):
        path = file_of(source if isinstance(source, Held) else Path(path_text(source, "convert")))
        try:
            head = first_bytes(path, HEAD_BYTES)
        except FileError:
            refuse_folder(path)
            raise
        importer = importer_of(path, head)
        _check_options(importer, options, str(path), live=False)
        return _read(importer, path, options)
    found = live_importer(source)
    if found is None:
        held = next((name for name, value in getattr(source, "__dict__", {}).items() if live_importer(value)), None)
        raise ArgumentTypeError("convert takes a path, bytes, an open binary file, a keras.Model, a torch.nn.Module or "
                                f"an onnx.ModelProto, not {type(source).__module__}.{type(source).__qualname__}"
                                + (f"; give its {held!r:.60}, which is one" if held is not None else ""))
    _check_options(found, options, f"the live {type(source).__qualname__}", live=True)
    return _checked(found, found.read_live(source, options))


def _checked(importer: Importer, graph: Graph) -> Checked:
    made = checked(graph)
    if importer.name == "onnx":
        check_types(made.graph, made.values)
    return made


def _check_options(importer: Importer, options: ImportOptions, source: str, live: bool) -> None:
    """Raise ArgumentError for an option that sources of this kind have no use for."""
    for name, (use, of_files, of_live) in OWN_OPTIONS.items():
        has = name in importer.own_options and (of_live if live else of_files)
        if getattr(options, name) is not None and not has:
            raise ArgumentError(f"{name} is for {use}; {source} has no use for it")


def live_importer(source: object) -> Importer | None:
    """The importer of a live model, None for an object that is none."""
    return next((importer for importer in _importers() if importer.claims_live(source)), None)


def knows(head: bytes) -> Importer | None:
    """The importer that knows a file by how it begins, None if none does."""
    return next((importer for importer in _importers() if importer.knows(head)), None)


def importer_of(path: ModelFile, head: bytes) -> Importer:
    """The importer of a file that begins so: told by its bytes, and where these are nothing known, by its name.

    Raises FormatError, with what to do, for what no importer reads.
    """
    if (known := knows(telling_bytes(path, head))) is not None:
        return known
    refuse_foreign(path, head)
    for importer in _importers():
        if path.suffix.lower() in importer.suffixes:
            return importer
    suffixes = ", ".join(suffix for importer in _importers() for suffix in importer.suffixes)
    raise FormatError(f"{path}: not a checkpoint of a known kind; expected one of .lstm, {suffixes}; it begins with "
                      f"{head[:16]!r}")
