"""What every importer is: a module that recognises a source and turns it into a checked Graph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..files import ModelFile
from ..graph import Graph
from ..limits import Limits
from ..types import PoolReading


@dataclass(frozen=True)
class ImportOptions:
    """What the caller says about a source that the source cannot say itself.

    spec: a mapping or the path of a JSON file: the graph with weight names in place of arrays.
    Readings of weights alone (docs/spec.md), where no spec is given:
    pool: how the sequence is reduced behind the last recurrent layer: "last", "step", "state", "mean", "max", "none".
    activations: {layer: activation}, "none" for a layer that has none.
    order: the layers by name, from the input to the output.
    weights: the file that holds the arrays of a model whose own file (JSON) says what it is.
    custom_objects: {class in a Keras file: "package.layers.Class" or a layer of Keras}, for classes that Keras lacks.
    limits: what files beside the model's own may hold; its own is looked at where it is opened.
    data_folder: where the external data of an ONNX model lies, or its links lead, if not in the folder of the file.
    example_inputs: the arguments of a live torch module's forward, on which it is traced.
    """

    pool: PoolReading | None = None
    spec: Mapping[str, Any] | str | os.PathLike[str] | None = None
    activations: Mapping[str, Any] | None = None
    order: Sequence[str] | None = None
    example_inputs: Any = None
    weights: ModelFile | None = None
    data_folder: str | None = None
    custom_objects: Mapping[str, str] | None = None
    limits: Limits = Limits()

    def readings(self) -> list[str]:
        """The names of the options given that say how weights alone are read."""
        return [name for name in ("pool", "activations", "order") if getattr(self, name) is not None]


def are(names: Sequence[str]) -> str:
    """The beginning of a sentence about options: "pool is", "pool and order are"."""
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"


# Options that one kind of source alone can take; an importer names those of its own in `own_options`.
# What each is for, and whether files and live models have it.
OWN_OPTIONS = {"weights": ("the JSON file of a Keras model", True, False),
               "custom_objects": ("files of Keras models", True, False),
               "data_folder": ("the external data of an ONNX model", True, True),
               "example_inputs": ("a live torch module", False, True)}


class Importer(Protocol):
    """The face of `importers.keras`, `importers.torch`, `importers.onnx` and `importers.arrays`."""

    name: str                                   # "keras", ...
    suffixes: tuple[str, ...]                   # what files of this kind are usually called
    own_options: tuple[str, ...]                # which of OWN_OPTIONS it looks at

    def knows(self, head: bytes) -> bool:
        """Whether a file is of this kind, from its first 4096 bytes."""

    def claims_live(self, source: object) -> bool:
        """Whether a live object is of this kind, told without importing its framework."""

    def read(self, path: ModelFile, options: ImportOptions) -> Graph:
        """The graph in a file. Raises FormatError, UnsupportedError, FileError, MissingDependencyError."""

    def read_live(self, source: object, options: ImportOptions) -> Graph:
        """The graph of a live object of this framework."""
