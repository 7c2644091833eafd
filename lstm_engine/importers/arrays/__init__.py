"""Raw arrays in `.npz` files, which a spec turns into a graph, and JSON of RTNeural and of Neural Amp Modeler, which
says what is to be computed.

What the spec-driven importers of other formats share is here too: `spec`, `torch_layers` and `recurrent` (PyTorch's
layout).
"""

from __future__ import annotations

import dataclasses

from ...errors import ArgumentError, ArgumentTypeError, FormatError, UnsupportedError
from ...files import ModelFile, cannot_read, open_regular, size_of, telling_bytes
from ...graph import Graph
from ..base import ImportOptions, are
from ..reading.json_arrays import read_json
from ..reading.npy import npz_entries
from ..reading.spec_file import load_spec
from ..reading.weights import Weights
from ..reading.zip_archive import Archive, first_record
from .nam import begins_nam, spec_of_nam
from .rtneural import begins_rtneural, spec_of_rtneural
from .spec import graph_from_spec

name = "arrays"
suffixes = (".npz",)
own_options: tuple[str, ...] = ()

DEFAULT = ImportOptions()


def knows(head: bytes) -> bool:
    """Whether a file that begins so is an `.npz`, by the first record of a zip, or JSON of a program that says what is
    to be computed."""
    return first_record(head).endswith(b".npy") or says_itself(head) is not None


def says_itself(head: bytes) -> str | None:
    """The program whose JSON a file that begins so is, None for others."""
    return "rtneural" if begins_rtneural(head) else "nam" if begins_nam(head) else None


def claims_live(source: object) -> bool:
    """Never: arrays alone are no model."""
    return False


def read(path: ModelFile, options: ImportOptions = DEFAULT) -> Graph:
    """The graph that `options.spec` describes over the arrays of the file, or what JSON says of itself.

    Raises FileError, FormatError, UnsupportedError with messages that begin with the path; ArgumentError
    without a spec, or with a pool.
    """
    if (producer := says_itself(telling_bytes(path))) is not None:
        return _described(path, producer, options)
    if given := options.readings():
        raise ArgumentError(f"{are(given)} for weights whose layers are found by name; a spec says it in its nodes")
    spec = None if options.spec is None else load_spec(options.spec)
    try:
        with open_regular(path) as file:
            weights = Weights(npz_entries(Archive(file, size_of(file))))
            if spec is None:
                raise ArgumentError(f"{path}: arrays need a spec that says what they are (docs/spec.md); "
                                    f"there are {weights.describe(weights.names)}")
            graph = graph_from_spec(spec, weights)
    except OSError as error:
        cannot_read(path, error)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error
    return dataclasses.replace(graph, metadata={"source": path.name, "producer": "arrays", **graph.metadata})


def _described(path: ModelFile, producer: str, options: ImportOptions) -> Graph:
    if options.spec is not None or options.readings():
        raise ArgumentError(f"{path}: it says itself what it computes; a spec and readings are for weights alone")
    try:
        with open_regular(path) as file:
            tree = read_json(file, size_of(file))
            spec, weights = spec_of_nam(tree) if producer == "nam" else spec_of_rtneural(tree)
            graph = graph_from_spec(spec, weights)
    except OSError as error:
        cannot_read(path, error)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error
    return dataclasses.replace(graph, metadata={"source": path.name, "producer": producer, **graph.metadata})


def read_live(source: object, options: ImportOptions = DEFAULT) -> Graph:
    """Always raises ArgumentTypeError: `claims_live` never claims."""
    raise ArgumentTypeError(f"{type(source).__qualname__} is no model; save arrays with numpy.savez and give a spec")
