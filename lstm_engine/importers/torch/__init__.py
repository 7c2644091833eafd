"""PyTorch checkpoints and live modules, read without torch.

    checkpoints     files of every kind -> tensors by name, and records of classes; how they begin
    state_dict      weights alone -> the layers that they are, and the one chain that these make
    modules         whole modules, pickled or live, and a checkpoint's weights loaded into a live one
    program         programs of torch.export, in files or traced from live modules
    beside          what config.json says beside the weights of a folder
    sources         which of these a file or a live module takes

All but `program` end in a spec that `importers.arrays.spec` turns into the graph. Every file is shown to every
importer: here stands what tells torch's, and the rest is loaded for those alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...files import ModelFile
from ...graph import Graph
from ...limits import Limits
from ..base import ImportOptions
from .checkpoints.begins import is_torch, knows

__all__ = ["claims_live", "fill", "knows", "name", "own_options", "propose_spec", "read", "read_live", "suffixes"]

name = "torch"
suffixes = (".pt", ".pth", ".pt2", ".safetensors")
own_options = ("example_inputs",)

DEFAULT = ImportOptions()


def claims_live(source: object) -> bool:
    """Whether an object is a torch.nn.Module."""
    return is_torch(source, "Module")


def read(path: ModelFile, options: ImportOptions = DEFAULT) -> Graph:
    """The graph of a checkpoint; see `sources.read`."""
    from . import sources

    return sources.read(path, options)


def read_live(source: object, options: ImportOptions = DEFAULT) -> Graph:
    """The graph of a live module; see `sources.read_live`."""
    from . import sources

    return sources.read_live(source, options)


def fill(module: Any, path: ModelFile, limits: Limits = DEFAULT.limits) -> str | None:
    """Load a checkpoint's weights, read as data, into a live module; see `modules.filled.fill`."""
    from .modules import filled

    return filled.fill(module, path, limits)


def propose_spec(path: Path | str) -> dict[str, Any]:
    """A spec for a checkpoint, as plain data for a JSON file; see `sources.propose_spec`."""
    from . import sources

    return sources.propose_spec(path)
