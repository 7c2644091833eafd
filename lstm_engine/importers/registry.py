"""Finds the importer of a source, and runs it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from ..arguments import path_text
from ..errors import ArgumentTypeError, FormatError, LstmEngineError, OutOfMemoryError
from ..files import cannot_read, open_regular
from ..graph import Graph
from ..operators import validate
from .base import Importer, ImportOptions

# The order matters where two could claim one file: the stricter looks first.
IMPORTERS = ("keras", "onnx", "torch", "arrays")
HEAD_BYTES = 4096


def _importers() -> list[Importer]:
    return [importlib.import_module(f"{__package__}.{name}") for name in IMPORTERS]


def _read(importer: Importer, path: Path, options: ImportOptions) -> Graph:
    try:
        return validate(importer.read(path, options))
    except RecursionError as error:
        raise FormatError(f"{path}: it is nested too deeply") from error
    except MemoryError as error:
        if isinstance(error, LstmEngineError):
            raise
        raise OutOfMemoryError(f"{path}: not enough memory for its tensors ({error})") from error


def import_graph(source: object, options: ImportOptions = ImportOptions()) -> Graph:  # noqa: B008  (frozen)
    """The checked graph of a checkpoint (a path) or of a live model.

    Raises FileError if the file cannot be read, FormatError if no importer knows it or its bytes are wrong,
    UnsupportedError for a layer that is not supported, ArgumentTypeError for an object that is no model.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(path_text(source, "convert"))
        try:
            with open_regular(path) as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            cannot_read(path, error)
        for importer in _importers():
            if importer.claims(path, head):
                return _read(importer, path, options)
        known = ", ".join(suffix for importer in _importers() for suffix in importer.suffixes)
        raise FormatError(f"{path}: not a checkpoint of a known kind; expected one of .lstm, {known}")
    for importer in _importers():
        if importer.claims_live(source):
            return validate(importer.read_live(source, options))
    raise ArgumentTypeError("convert takes a path, a keras.Model, a torch.nn.Module or an onnx.ModelProto, "
                            f"not {type(source).__module__}.{type(source).__qualname__}")
