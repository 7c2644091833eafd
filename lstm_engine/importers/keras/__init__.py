"""Keras: `.keras` files, legacy `.h5` files and live models, read as data and never deserialised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArgumentError, FormatError, UnsupportedError
from ...files import HEAD_BYTES, ModelFile, first_bytes, telling_bytes
from ...graph import Graph
from ...limits import check_size
from ..base import ImportOptions, are
from ..reading import sandbox
from ..reading.foreign import refuse_foreign
from ..reading.weights import Entry, Weights
from ..reading.zip_archive import MARK, first_record
from .reading.two_files import contents_of, is_configuration, weights_of

DEFAULT = ImportOptions()

name = "keras"
suffixes = (".keras", ".h5", ".hdf5", ".json")
own_options = ("weights", "custom_objects")

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SIDE = re.compile("/(?:forward|backward)_layer$")
_PARSER = "the HDF5 parser"
_MEMBERS = (b"metadata.json", b"config.json", b"model.weights.h5")


def knows(head: bytes) -> bool:
    """Any HDF5 file, a zip archive as Keras begins it, or JSON of a model."""
    return head.startswith(_HDF5) or first_record(head) in _MEMBERS or is_configuration(head)


def claims_live(source: object) -> bool:
    """A model of Keras 2 or 3: told by the modules of its classes, without importing any."""
    return any(cls.__name__ == "Model" and cls.__module__.split(".")[0] in ("keras", "tf_keras", "tensorflow")
               for cls in type(source).__mro__)


def read(path: ModelFile, options: ImportOptions = DEFAULT) -> Graph:
    """The graph of a `.keras` or whole-model `.h5` file, of JSON beside a file of weights, or of a spec over the arrays
    of any HDF5 file.

    Raises FormatError, naming the part of the file, if its bytes or settings are wrong; UnsupportedError, naming
    the layer, for a layer or option that is not supported; MissingDependencyError without h5py; FileError;
    ArgumentError for options that do not fit.
    """
    if given := options.readings():
        raise ArgumentError(f"{are(given)} for weights whose layers are found by name; a Keras file says how it pools")
    head = telling_bytes(path)
    if is_configuration(head) or path.suffix.lower() == ".json" and not knows(head):
        return _of_two_files(path, options)
    if options.weights is not None:
        raise ArgumentError(f"weights={str(options.weights)!r} belongs to a model's JSON file; {path} holds its own "
                            "arrays")
    if not head.startswith((_HDF5, MARK)):
        kind = "a zip archive" if path.suffix.lower() == ".keras" else "an HDF5 file"
        raise FormatError(f"{path}: not {kind}: it begins with {head[:8]!r}")
    if options.spec is not None and options.custom_objects is not None:
        raise ArgumentError("custom_objects says what classes of a file's layers are; a spec names all layers itself")
    if options.spec is not None:
        return _from_spec(path, head, options.spec)
    reader = "read_h5" if head.startswith(_HDF5) else "read_zip"
    contents, arrays = sandbox.run(f"{__name__}.reading.container:{reader}", path, what=_PARSER)
    return described_graph(path, contents, arrays, zipped=reader == "read_zip", custom=options.custom_objects)


def described_graph(path: ModelFile, contents: Mapping[str, Any], arrays: dict[str, np.ndarray], *, zipped: bool,
                    exact: bool = False, custom: Mapping[str, str] | None = None) -> Graph:
    """The graph of what the parser found in the file at `path`. Raises FormatError and UnsupportedError as `read`.

    exact: arrays that no layer takes are an error. custom: classes that Keras does not have, by name, as the caller
    says what they are.
    """
    try:
        return _graph(contents, arrays, zipped, exact, custom)
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


def _of_two_files(path: ModelFile, options: ImportOptions) -> Graph:
    """The graph of a JSON file and the file of its arrays."""
    if options.spec is not None:
        raise ArgumentError(f"{path}: it says what the model is; a spec is for HDF5 files of weights alone")
    contents, arrays_path = contents_of(path), weights_of(path, options.weights)
    if isinstance(arrays_path, Path):
        check_size(str(arrays_path), options.limits)
    head = first_bytes(arrays_path, HEAD_BYTES)
    if not head.startswith(_HDF5):
        refuse_foreign(arrays_path, head)
    found, arrays = sandbox.run(f"{__name__}.reading.container:read_weights", arrays_path, what=_PARSER)
    if "backend" in found:
        contents["metadata"]["backend"] = found["backend"]
    return described_graph(path, {**contents, **{key: found[key] for key in ("layers",) if key in found}}, arrays,
                           zipped=False, exact=True, custom=options.custom_objects)


def read_live(source: object, options: ImportOptions = DEFAULT) -> Graph:
    """The graph of a live Sequential or Functional model.

    Raises UnsupportedError for a model of another class, ArgumentError for options.
    """
    from .reading import live

    if options.readings() or options.spec is not None:
        raise ArgumentError("pool and spec are for weights alone; a live model says what it computes")
    return _graph(*live.contents_of(source))


def _from_spec(path: ModelFile, head: bytes, source: Any) -> Graph:
    """The graph of a spec over the datasets of an HDF5 file, named by their paths ("lstm/lstm/kernel:0")."""
    from ..arrays.spec import graph_from_spec
    from ..reading.spec_file import load_spec

    spec = load_spec(source)
    if not holds_arrays(head):
        raise ArgumentError(f"{path}: a .keras file says what it is; a spec is for HDF5 files of weights alone")
    try:
        graph = graph_from_spec(spec, arrays_of(path))
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error
    return replace(graph, metadata={"source": "keras", "producer": "arrays", **graph.metadata})


def holds_arrays(head: bytes) -> bool:
    """Whether a file that begins so is one of HDF5, whose arrays a spec can place."""
    return head.startswith(_HDF5)


def arrays_of(path: ModelFile) -> Weights:
    """The datasets of an HDF5 file by their paths. Raises FormatError, FileError, MissingDependencyError."""
    _, arrays = sandbox.run(f"{__name__}.reading.container:read_arrays", path, what=_PARSER)
    return Weights({key: Entry(array.shape, array.dtype.name, partial(np.asarray, array))
                    for key, array in arrays.items()})


def mapping_table() -> frozenset[str]:
    """The kinds of layers and operations ("ops.Matmul") that have a mapping, once all of these are loaded."""
    from .mapping import (  # noqa: F401  (each registers what it maps)
        attention,
        contrib_crf,
        convolution,
        core,
        crf,
        encoding,
        lambdas,
        lookup,
        mathematics,
        merging,
        models,
        normalization,
        operations,
        pooling,
        projection,
        rearranging,
        recurrent,
        resizing,
        scaling,
        selecting,
        shaping,
        texts,
        wrappers,
    )
    from .mapping.registry import kinds

    return kinds()


def _texts(found: Any) -> dict[str, list[str]]:
    """Lists of texts by name: they come from a process that a hostile file may own."""
    if not isinstance(found, dict) or not all(
            type(name) is str and type(lines) is list and all(type(line) is str for line in lines)
            for name, lines in found.items()):
        raise FormatError("the parser of the archive answered no texts by name")
    return found


def _graph(contents: Mapping[str, Any], arrays: dict[str, np.ndarray], zipped: bool = False, exact: bool = False,
           custom: Mapping[str, str] | None = None) -> Graph:
    """The one way from configuration and arrays to a graph, whatever they were read from.

    Empties `arrays`, so that what was brought to another layout is not kept in the old one as well.
    """
    mapping_table()
    from .mapping import models
    from .mapping.builder import Builder
    from .mapping.registry import Context, check_plain_dtype, known_layers, policy_name, supported
    from .mapping.unread import check_all_read
    from .mapping.weights import Weights
    from .reading import legacy
    from .reading.config import Tree, Version, walk
    from .reading.sharing import share

    metadata = contents.get("metadata")
    if not isinstance(metadata, dict) or "config" not in contents:
        raise FormatError("the configuration or the metadata is missing")
    keras_version = metadata.get("keras_version")
    if keras_version is not None and not isinstance(keras_version, str):
        raise FormatError(f"keras_version is {keras_version!r:.80}; expected a text")
    version = Version.of(keras_version)
    tree = Tree(version, supported, known_layers, custom)
    model = tree.model(contents["config"])
    for layer in walk(model):
        check_plain_dtype(layer)
    placed: Mapping[str, np.ndarray] = dict(arrays)
    if "layers" in contents:
        placed = legacy.by_path(tree, model, contents["layers"], arrays)
    elif zipped and version.numbers < (2, 14):
        placed = legacy.renumbered(tree, model, arrays)
    moved = share(tree, model, placed)
    declared = {policy_name(layer) for layer in walk(model)}
    doubles = {name for name in declared if "float" in name} == {"float64"}
    weights = Weights(placed, otherwise="float64" if doubles else "float32", beside_json=exact)
    del placed
    arrays.clear()
    backend = metadata.get("backend")
    context = Context(Builder(weights.float_type), weights, version, tree,
                      backend=backend if isinstance(backend, str) else "", moved=moved,
                      vocabularies=_texts(contents.get("vocabularies", {})))
    graph = models.to_graph(context, model, {
        "source": "keras", "producer": f"keras {version.text}", "keras_version": version.text, "name": model.name})
    check_all_read(context.applied.values())
    if tree.not_met:
        raise ArgumentError(f"custom_objects: no layer of the model is of a class {sorted(tree.not_met)[0]!r}")
    if exact and (left := weights.left()):
        raise FormatError(f"the file of weights holds arrays that no layer of the model takes: {', '.join(left[:4])}"
                          f"{', ...' if len(left) > 4 else ''}; is it another model's?")
    assumed = {"assumed_version": metadata["assumed_version"]} if "assumed_version" in metadata else {}
    stateful = ",".join(dict.fromkeys(_SIDE.sub("", layer.where) for layer in context.applied.values()
                                      if layer.config.get("stateful") is True))
    halves = dict.fromkeys(policy_name(layer) for layer in context.applied.values() if not layer.is_operation)
    said = {"stateful": stateful, "by_backend": ",".join(context.by_backend),
            "computed_wider": ",".join(name for name in halves if name.endswith("float16"))}
    noted = {**assumed, **{key: names for key, names in said.items() if names}}
    return replace(graph, metadata={**graph.metadata, **noted}) if noted else graph
