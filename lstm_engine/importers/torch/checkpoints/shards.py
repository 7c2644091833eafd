"""Weights in several files, as Hugging Face keeps large ones: an index says in which shard each tensor lies.

The index and its shards must say the same: a tensor that one has and the other has not, or that two shards have, is an
error, and so is a shard that lies elsewhere than beside the index, or where a cache's links lead.
Source of the layout: huggingface_hub/serialization/_base.py (split_state_dict_into_shards_factory).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from ....errors import FileError, FormatError, UnsupportedError
from ....files import HEAD_BYTES, note_read
from ....limits import Limits, check_held
from ....strict_json import parse_object
from ...reading.foreign import said_of
from ...reading.inside import Folders, LeadsElsewhere
from ...reading.text_file import read_text
from ...reading.weights import Entry
from ...reading.zip_archive import MARK

MAX_INDEX_BYTES = 8 << 20
MAX_SHARDS = 128               # each is a file that is open while the model is read

Read = Callable[[BinaryIO, int], dict[str, Entry]]


def begins_index(head: bytes) -> bool:
    """Whether a file begins as an index does: JSON with a weight_map."""
    return head.lstrip().startswith(b"{") and b'"weight_map"' in head


def shards_of(text: bytes) -> dict[str, list[str]]:
    """The names of the tensors by shard, in the index's order. Raises FormatError."""
    index = parse_object(text, "the index")
    if unknown := sorted(set(index) - {"metadata", "weight_map"}):
        raise FormatError(f"the index: unknown key {unknown[0]!r:.100}; known: metadata, weight_map")
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(shard, str) for shard in places.values()):
        raise FormatError("the index: \"weight_map\" must map names of tensors to names of files")
    shards: dict[str, list[str]] = {}
    for name, shard in places.items():
        if shard in ("", ".", "..") or any(mark in shard for mark in "/\\:\0") or not _is_utf8(shard):
            raise FormatError(f"the index: {name!r:.100} is said to lie in {shard!r:.200}, which is no file beside it")
        shards.setdefault(shard, []).append(name)
    if len(shards) > MAX_SHARDS:
        raise FormatError(f"the index: {len(shards)} shards; at most {MAX_SHARDS} are read")
    return shards


def _is_utf8(name: str) -> bool:
    """JSON can escape halves of a character, which are none alone."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def read_shards(index: Path, open_files: ExitStack, limits: Limits, read: Read) -> dict[str, Entry]:
    """The tensors of all shards by name, in the index's order. read: those of one file that is open, by name.

    The shards stay open in `open_files`. Raises FormatError, UnsupportedError, FileError, LimitError.
    """
    shards = shards_of(read_text(index, MAX_INDEX_BYTES, "the index"))
    folders = Folders(index)
    entries: dict[str, Entry] = {}
    total = 0
    for shard, names in shards.items():
        where = f"shard {shard!r:.200}"
        file, size = _open(folders, index, shard, open_files)
        total += size
        check_held("the shards", total, limits)
        try:
            found = read(file, size)
        except (FormatError, UnsupportedError) as error:
            file.seek(0)
            head = file.read(HEAD_BYTES)
            said = "" if head.startswith(MARK) else said_of(index.with_name(shard), head)
            raise type(error)(f"{where}: {said or error}") from error
        wanted = set(names)
        if missing := [name for name in names if name not in found]:
            raise FormatError(f"{where}: the index says that {missing[0]!r:.100} lies in it, which it does not hold")
        if more := [name for name in found if name not in wanted]:
            raise FormatError(f"{where}: it holds {more[0]!r:.100}, which the index does not say")
        entries |= found
    return {name: entries[name] for names in shards.values() for name in names}


def _open(folders: Folders, index: Path, shard: str, open_files: ExitStack) -> tuple[BinaryIO, int]:
    where = f"shard {shard!r:.200}"
    try:
        descriptor = folders.open([shard])
    except LeadsElsewhere as error:
        raise FormatError(f"{where}: it leads through a link to {error}, which is neither beside the index nor where "
                          "that is a link to") from None
    except OSError as error:
        raise FileError(error.errno, f"{index}: {where}: cannot read it beside the index: "
                                     f"{error.strerror or error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(f"{where}: it is not a plain file")
        file = open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
    note_read(status)
    return open_files.enter_context(file), status.st_size
