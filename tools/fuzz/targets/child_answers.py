"""What a parser's process writes on its pipe, which a hostile file may own: any bytes."""

from __future__ import annotations

import io
import random

from lstm_engine.importers.reading import sandbox

from ..mutate import raw
from ..target import Target
from .answers import MOST

WORDS = (sandbox.MAGIC, b'{"result": {}, "arrays": []}', b'"arrays": [["a", "float32", [2]]]', b'"error": "format"',
         b'"message": ""', b"float16", b"bool", b"\1", b"\0", b"[0, 8589934592, 8589934592]")


def execute(data: bytes) -> str:
    try:
        _, arrays = sandbox.read_answer(io.BytesIO(data), MOST)  # type: ignore[arg-type]
    except (sandbox.Nonsense, sandbox.Refusal) as error:         # what `sandbox.run` turns into FormatError
        return type(error).__name__
    return f"{len(arrays)} arrays"


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Changed bytes; as a rule with the header's length made right."""
    made = raw.damaged(data, rng, WORDS)
    if rng.random() < 0.7 and (end := made.rfind(b"}") + 1) > 16:
        made = sandbox.MAGIC + (end - 16).to_bytes(8, "little") + made[16:]
    return made


def targets() -> dict[str, Target]:
    return {"answer": Target("answer", "what a parser's process answers, byte by byte", execute, mutate, WORDS)}
