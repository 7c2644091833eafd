"""`*.lstm` files: as they are, and with what a change breaks on the way (checksum, canonical spelling) put right."""

from __future__ import annotations

import json
import random
import struct

from lstm_files import assemble, canonical

from lstm_engine import format
from lstm_engine.errors import LstmEngineError
from lstm_engine.format import header

from ..mutate import raw, text
from ..rule import Broken, reason
from ..target import Folder, Target

WORDS = tuple(word.encode() for word in (
    *header.DTYPES, *header.METADATA_KEYS, *header.ENTRY_KEYS, "__metadata__", "lstm-engine", "nodes", "inputs",
    "outputs", "LSTM", "GRU", "RNN", "Dense", "Embedding", "Pool", "Operator", "bidirectional", "peephole_output"))
_folder = Folder()


def execute(data: bytes) -> str:
    """The outcome of the file put right, if it can be; one of our version that is read is saved to the same bytes."""
    outcome = ""
    for file in filter(None, (data, repaired(data))):
        with _folder.file(file, "input.lstm") as path:
            try:
                graph = format.load(path)
            except LstmEngineError as error:
                outcome = reason(error)
                continue
        again = _folder.path / "again.lstm"
        format.save(graph, again)
        # A later version that an older reader may read holds what this one does not write.
        if _version(file) <= header.VERSION and again.read_bytes() != file:
            raise Broken("differs", "a file that is read is not what its graph is saved as")
        again.unlink()
        outcome = "read: " + " ".join(sorted({node.op for node in graph.nodes}))
    return outcome


def _parts(data: bytes) -> tuple[dict, bytes] | None:
    """The header as JSON and what follows it; None where there is no such thing."""
    try:
        length = struct.unpack("<Q", data[:8])[0]
        tree = json.loads(data[8:8 + length])
    except (struct.error, ValueError, RecursionError):
        return None
    return (tree, data[8 + length:]) if isinstance(tree, dict) else None


def _version(data: bytes) -> int:
    """What a file that was read says of its version."""
    parts = _parts(data)
    return 0 if parts is None else int(parts[0]["__metadata__"]["version"])


def repaired(data: bytes) -> bytes | None:
    """The file with its checksum right and its config spelt canonically; None where there is nothing to put right."""
    parts = _parts(data)
    try:
        if parts is None:
            return None
        metadata = parts[0]["__metadata__"]
        metadata["config"] = canonical(json.loads(metadata["config"]))
        metadata["crc32"] = "0" * 8
        return assemble(parts[0], parts[1])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Changes to the config, to the header around it, or to the tensors' bytes."""
    parts = _parts(data)
    kind = rng.random()
    if parts is None or kind < 0.15:
        return raw.damaged(data, rng, WORDS)
    tree, rest = parts
    try:
        if kind < 0.65:
            config = tree["__metadata__"]["config"].encode()
            tree["__metadata__"]["config"] = text.changed_json(config, rng, WORDS).decode()
        elif kind < 0.9:
            tree = json.loads(text.changed_json(json.dumps(tree).encode(), rng, WORDS))
        else:
            rest = raw.damaged(rest, rng)
        return assemble(tree, rest)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return raw.damaged(data, rng, WORDS)


def targets() -> dict[str, Target]:
    return {"lstm": Target("lstm", "*.lstm files", execute, mutate, WORDS)}
