"""One target as a program of its own, as OSS-Fuzz builds them: libFuzzer's arguments, the first finding ends it."""

from __future__ import annotations

import random
import sys

from .child import import_parts


def main(name: str) -> None:
    """Fuzz a target; does not return."""
    import atheris

    from . import targets

    with atheris.instrument_imports(include=["lstm_engine"]):
        import_parts(targets.FILES[name][1])
    from .rule import Finding, Judge

    target = targets.load(name)
    # Instrumented and sanitized at once: what is too slow there is libFuzzer's own timeout to say.
    judge = Judge(target.execute, slower=10.0)

    def execute(data: bytes) -> None:
        outcome = judge(data)
        if isinstance(outcome, Finding):
            raise RuntimeError(f"{outcome.key}\n{outcome.text}")

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return atheris.Mutate(data, most) if rng.random() < 0.5 else target.mutate(data, rng)[:most]

    atheris.Setup(sys.argv, execute, custom_mutator=mutate)
    atheris.Fuzz()
