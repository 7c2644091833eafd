"""Importers: a checkpoint of another framework, read as data, becomes a Graph."""

from .base import ImportOptions
from .folders import refuse_folder, weights_in
from .reading.foreign import refuse_foreign
from .registry import import_checked, import_graph, importer_of, knows, live_importer

__all__ = ["ImportOptions", "import_checked", "import_graph", "importer_of", "knows", "live_importer",
           "refuse_folder", "refuse_foreign", "weights_in"]
