"""A spec for a file of weights alone, proposed by what its bytes say that it is, whatever it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError, LstmEngineError, UnsupportedError
from ..files import HEAD_BYTES, first_bytes, open_regular, size_of, telling_bytes
from .arrays import says_itself
from .folders import weights_in
from .reading.weights import Weights
from .registry import importer_of


def propose_spec(source: Path) -> dict[str, Any]:
    """A spec as plain data for a JSON file: complete, or a draft whose "notes" say what to check.

    source: a file of torch, .npz or HDF5, or a folder as Hugging Face lays it out.
    Raises ArgumentError for a file that says itself what it computes, FileError, FormatError, UnsupportedError.
    """
    path = weights_in(source)
    head = first_bytes(path, HEAD_BYTES)
    importer = importer_of(path, head)
    head = telling_bytes(path, head)
    if importer.name == "torch":
        from .torch import propose_spec

        return propose_spec(path)
    if importer.name == "arrays" and says_itself(head) is None:
        from .reading.npy import npz_entries
        from .reading.zip_archive import Archive

        with open_regular(path) as file:
            try:
                return _of_arrays(Weights(npz_entries(Archive(file, size_of(file)))))
            except (FormatError, UnsupportedError) as error:
                raise type(error)(f"{path}: {error}") from error
    if importer.name == "keras":
        from .keras import arrays_of, holds_arrays

        if holds_arrays(head):
            return _of_arrays(arrays_of(path))
    raise ArgumentError(f"{path}: it says itself what it computes; a spec is for files of weights alone")


def _of_arrays(weights: Weights) -> dict[str, Any]:
    """By PyTorch's names, where they are such; else by sizes, as Keras keeps its layers."""
    from .arrays.draft import draft_spec
    from .torch.state_dict.draft import propose_or_draft

    if not any(part in name for name in weights.names for part in ("weight_ih", "weight_hh")):
        return draft_spec(weights)
    try:
        return propose_or_draft(weights)
    except LstmEngineError:
        return draft_spec(weights)
