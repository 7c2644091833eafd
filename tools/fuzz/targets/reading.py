"""What the readers of checkpoints have in common: the way that `convert` goes, with the file of one input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from lstm_engine.graph import Graph
from lstm_engine.importers import ImportOptions, import_graph
from lstm_engine.importers.registry import _read

from ..target import Folder

PLAIN = ImportOptions()


def through(read: Callable[[Path, ImportOptions], Graph], path: Path, options: ImportOptions = PLAIN, name: str = ""
            ) -> Graph:
    """The checked graph of one reader, with what the registry makes of errors of every reader. name: of the importer,
    where the registry asks more of its graphs."""
    return _read(SimpleNamespace(name=name, read=read), path, options).graph  # type: ignore[arg-type]


def whole_way(suffix: str) -> Callable[[bytes], str]:
    """An execution of `import_graph` itself on a file of this name, its parser's process included."""
    folder = Folder()

    def execute(data: bytes) -> str:
        with folder.file(data, f"input{suffix}") as path:
            return shown(import_graph(path))
    return execute


def shown(graph: Graph) -> str:
    """A graph in a few words, which own mutators go by as new."""
    return "read: " + " ".join(sorted({getattr(node, "op_type", node.op) for node in graph.nodes}))[:120]
