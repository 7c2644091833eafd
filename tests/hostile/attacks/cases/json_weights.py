"""Weights in JSON, and in several files by an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch_bytes import entry, safetensors

from lstm_engine.errors import FileError, FormatError

from ..attack import Table

GRU = {"weight_ih_l0": [[1.0, 2.0]] * 3, "weight_hh_l0": [[0.5]] * 3}
TABLE = Table("weights in JSON", "model.json", lambda: json.dumps(GRU).encode())

BEGIN = b'{"weight_ih_l0": [[1.0, 2.0]], '


def refuse(name: str, source: str, more: bytes, message: str) -> None:
    """A state dict with more in it."""
    TABLE.refuse(name, source, lambda: BEGIN + more, FormatError, message)


refuse("lists nested 100,000 deep", "CWE-674, CVE-2024-27454's kind", b'"a": ' + b"[" * 100_000,
       "JSON that does not end")
refuse("lists nested 100,000 deep, and closed", "CWE-674", b'"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
       "JSON: nested too deeply")
refuse("three million empty lists", "CWE-789", b'"a": [' + b"[]," * 3_000_000 + b"[]]}",
       "so many values that they would take some 320 MB")
refuse("one name twice", "parsers that differ, CVE-2017-12635", b'"weight_ih_l0": [[1.0, 3.0]]}',
       "the key 'weight_ih_l0' appears twice")
refuse("one name by two ways", "parsers that differ", b'"a.weight": [1], "a": {"weight": [1]}}',
       "two arrays are named 'a.weight'")
refuse("rows of other lengths", "CWE-125", b'"weight_hh_l0": [[1.0], [1.0, 2.0], [1.0]]}',
       "lists of other lengths than")
refuse("a number of 10,000 digits", "CVE-2020-10735", b'"a.weight": [' + b"9" * 10_000 + b"]}",
       "JSON: not JSON: Exceeds")
refuse("1e999, which Python reads as infinity", "CWE-1339", b'"a.weight": [1e999]}', "a number beyond float32")
refuse("an object in the place of a number", "CWE-843", b'"a.weight": [{"__class__": "os.system"}]}',
       "must hold numbers, got {")


def indexed(places: dict[str, str], **files: bytes) -> Callable[[Path], Path]:
    """An index beside two shards, one of which has a tensor of its own."""
    def make(folder: Path) -> Path:
        shard = {"weight_ih_l0": entry(0, 24, (3, 2))}
        (folder / "a.safetensors").write_bytes(safetensors(json.dumps(shard).encode(), bytes(24)))
        for name, data in files.items():
            (folder / f"{name}.safetensors").write_bytes(data)
        path = folder / "model.safetensors.index.json"
        path.write_text(json.dumps({"weight_map": {"weight_ih_l0": "a.safetensors", **places}}))
        return path
    return make


def linked(folder: Path) -> Path:
    made = indexed({"weight_hh_l0": "b.safetensors"})(folder)
    (folder / "b.safetensors").symlink_to("/etc/passwd")
    return made


for _name, _source, _place in (("a shard in another folder", "CWE-22, CVE-2024-5187's kind", "../../etc/passwd"),
                               ("a shard by an absolute path", "CWE-22", "/etc/passwd"),
                               ("a shard on another drive", "CWE-22", "c:b"),
                               ("half a character as a shard", "CWE-176", "\ud800")):
    TABLE.refuse(_name, _source, indexed({"weight_hh_l0": _place}), FormatError, "which is no file beside it")
TABLE.refuse("a shard that is a link out of the folder", "CWE-59", linked, FormatError, "it leads through a link to")
TABLE.refuse("a shard that is not there", "a broken download", indexed({"weight_hh_l0": "b.safetensors"}), FileError,
             "cannot read it beside the index")
TABLE.refuse("a tensor that its shard does not hold", "parsers that differ", indexed({"weight_hh_l0": "a.safetensors"}),
             FormatError, "the index says that 'weight_hh_l0' lies in it")
TABLE.refuse("a thousand shards", "CWE-400: open files", indexed({f"w{i}": f"{i}.safetensors" for i in range(1000)}),
             FormatError, "1001 shards; at most 128 are read")
