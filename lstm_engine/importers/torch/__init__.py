"""PyTorch checkpoints and live modules, read without torch.

Reading (bytes -> names and arrays): `files`, and below it `zipped`, `legacy`, `safetensors`, `exported`,
`unpickle`, `checkpoint`. Mapping (names and arrays -> graph): `layers`, `propose`, `draft`, `live`, each of which
ends in a spec that `importers.arrays.spec` turns into the graph.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ...errors import ArgumentError
from ...graph import Graph
from ..arrays.spec import graph_from_spec, load_spec
from ..base import ImportOptions
from .checkpoint import IGNORED
from .draft import propose_or_draft
from .files import open_weights
from .legacy import MAGIC
from .live import is_torch, spec_of_module, weights_of
from .propose import propose

name = "torch"
suffixes = (".pt", ".pth", ".pt2", ".safetensors")

DEFAULT = ImportOptions()
_LONGEST_NAME = 300            # of the first record in a zip


def claims(path: Path, head: bytes) -> bool:
    """Whether a file is torch's: by its name, by the legacy magic number, or by the first record of a zip."""
    if path.suffix.lower() in suffixes or MAGIC in head[:32]:
        return True
    first = head[30:30 + min(int.from_bytes(head[26:28], "little"), _LONGEST_NAME)]
    return head.startswith(b"PK\x03\x04") and (first.endswith((b"/data.pkl", b"/data/0", b"/data/weights/weight_0")))


def claims_live(source: object) -> bool:
    """Whether an object is a torch.nn.Module."""
    return is_torch(source, "Module")


def read(path: Path, options: ImportOptions = DEFAULT) -> Graph:
    """The graph of a checkpoint: by `options.spec`, or the only chain that its names and shapes allow.

    Raises FileError, FormatError, UnsupportedError, ArgumentError; the message begins with the path.
    """
    spec = _given(options)
    with open_weights(path) as weights:
        graph = graph_from_spec(propose(weights, options.pool) if spec is None else spec, weights, IGNORED)
    return _sourced(graph, path.name)


def read_live(source: object, options: ImportOptions = DEFAULT) -> Graph:
    """The graph of a live module: by `options.spec`, from an nn.Sequential's parts, or as its state dict is read.

    The graph is batch first whatever the module's `batch_first` says, and takes whole sequences.
    """
    spec = _given(options)
    module: Any = source
    weights = weights_of(module)
    graph = graph_from_spec(spec_of_module(module, weights, options.pool) if spec is None else spec, weights, IGNORED)
    return _sourced(graph, type(source).__qualname__)


def propose_spec(path: Path | str) -> dict[str, Any]:
    """A spec for a checkpoint, as plain data for a JSON file: complete, or a draft whose "notes" say what to check.

    Raises FileError, FormatError, UnsupportedError (no layer was found).
    """
    with open_weights(Path(path)) as weights:
        return propose_or_draft(weights)


def _given(options: ImportOptions) -> Any:
    if options.spec is None:
        return None
    if options.pool is not None:
        raise ArgumentError("pool and spec exclude each other: in a spec, a Pool node says how a sequence is reduced")
    return load_spec(options.spec)


def _sourced(graph: Graph, source: str) -> Graph:
    return dataclasses.replace(graph, metadata={"source": source, "producer": "torch", **graph.metadata})
