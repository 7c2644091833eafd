"""Importers: a checkpoint of another framework, read as data, becomes a Graph."""

from .base import ImportOptions
from .registry import import_graph

__all__ = ["ImportOptions", "import_graph"]
