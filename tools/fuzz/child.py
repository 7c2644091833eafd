"""One target in this process, until its time is over or an input ends it.

    python tools/fuzz/child.py REQUEST          a JSON object; campaign.py writes it

With atheris (libFuzzer over instrumented Python) new lines lead to new inputs; with the project's own mutators alone
new words of outcome do. Both use the target's mutator, keep what is found, and go on.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import pkgutil
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MOST_INPUTS = 5000                    # own mutators keep no more in memory


def find_modules(tree: Path) -> None:
    """Let the package of `tree`, these tools and what tests share be imported, and nothing here by a shorter name."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(tree), str(ROOT / "tools"), str(ROOT / "tests" / "support"),
                   *(entry for entry in sys.path if entry != here)]


def import_parts(parts: tuple[str, ...]) -> None:
    """Every module of these parts of the package, so that atheris sees what is else imported only when it is needed.
    What more is imported on the way is seen too."""
    import lstm_engine

    beginnings = tuple(f"lstm_engine.{part}" for part in parts)
    for module in pkgutil.walk_packages(lstm_engine.__path__, "lstm_engine.", onerror=lambda name: None):
        if module.name.startswith(beginnings) and not {"demo", "bench"} & set(module.name.split(".")):
            try:
                importlib.import_module(module.name)
            except ImportError:
                pass                                       # it needs a framework that is not installed


class Recorder:
    """Executes inputs by the rule and keeps what is found. Returns the outcome in words, for who seeks new ones."""

    def __init__(self, target: Any, judge: Any, state: Any, findings: Any) -> None:
        self._judge, self._state, self._findings = judge, state, findings
        self._growth = findings.aside("growth") if target.grows else findings

    def __call__(self, data: bytes) -> str:
        self._state.begin(data)
        outcome = self._judge(data)
        if isinstance(outcome, str):
            return outcome
        kept = self._growth if outcome.kind in ("slow", "memory") else self._findings
        if not kept.known(outcome):
            kept.keep(outcome, data)
        return outcome.key


def own_mutators(target: Any, record: Callable[[bytes], str], corpus: list[bytes], keep: Callable[[bytes], None],
                 rng: random.Random, until: float, executions: int = 1 << 62) -> None:
    """Change inputs that gave an outcome nobody has seen before, until the time or the executions are over."""
    seen: set[str] = set()
    pool: list[bytes] = []
    for data in corpus:
        if time.monotonic() > until:
            return
        seen.add(record(data))
        pool.append(data)
    while executions > 0 and time.monotonic() < until:
        data = rng.choice(pool or [b""])
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = target.mutate(data, rng)[:target.largest]
        outcome = record(data)
        executions -= 1
        if outcome not in seen and len(pool) < MOST_INPUTS:
            seen.add(outcome)
            pool.append(data)
            keep(data)


def _atheris(target: Any, record: Callable[[bytes], str], request: dict) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    work = Path(request["work"])
    words = work / "words.dict"
    words.write_text(dictionary(target.words))
    own = random.Random(request["seed"])

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if own.random() < 0.5:
            return atheris.Mutate(data, most)
        return target.mutate(data, random.Random(seed))[:most]

    arguments = [sys.argv[0], str(work / "corpus"), *request["corpus"],
                 f"-max_total_time={int(request['seconds']) or 1}", f"-seed={request['seed'] % 2**31 or 1}",
                 f"-max_len={target.largest}", "-timeout=3600", "-rss_limit_mb=0", f"-artifact_prefix={work}{os.sep}",
                 "-print_final_stats=0", "-verbosity=0",
                 *([f"-dict={words}"] if target.words else [])]
    # The library is preloaded under a sanitizer, so that its coverage and not the sanitizer's is what counts.
    atheris.Setup(arguments, lambda data: (record(data), None)[1], custom_mutator=mutate, internal_libfuzzer=True)
    atheris.Fuzz()


def dictionary(words: Any) -> str:
    """Words in libFuzzer's spelling."""
    def spelt(word: bytes) -> str:
        return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)
    return "".join(f'"{spelt(word)}"\n' for word in words if 0 < len(word) <= 64)


def target_of(request: dict) -> Any:
    """The target asked for: by name, or a function of a module that a test gives."""
    if "maker" in request:
        module, _, name = request["maker"].partition(":")
        return getattr(importlib.import_module(module), name)()
    from fuzz import targets

    return targets.load(request["target"])


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text())
    faulthandler.enable()                                  # a crash says where it was, in the log
    find_modules(Path(request["tree"]))
    sys.path[:0] = request.get("path", [])
    if request["engine"] == "atheris":
        import atheris

        from fuzz import targets

        with atheris.instrument_imports(include=["lstm_engine"]):
            import_parts(targets.FILES[request["target"]][1] if "maker" not in request else ())
    from fuzz import findings, rule
    from fuzz.state import State

    target = target_of(request)
    from lstm_engine import _core

    # Sanitizers build in a copy of the tree: what is fuzzed must be what was built. A tree without the package (tests
    # beside an installed wheel) has none to mistake.
    if Path(request["tree"], "lstm_engine").is_dir() and not Path(_core.__file__ or "").is_relative_to(request["tree"]):
        raise SystemExit(f"the extension comes from {_core.__file__}, not from {request['tree']}")
    if not request["sanitized"]:
        rule.limit_address_space()
    work = Path(request["work"])
    record = Recorder(target, rule.Judge(target.execute, request["slower"]), State(work / "state"),
                      findings.Folder(Path(request["findings"]), request["target"]))
    (work / "corpus").mkdir(exist_ok=True)
    if request["engine"] == "atheris":
        _atheris(target, record, request)
    until = time.monotonic() + request["seconds"]
    files = [path for folder in [*request["corpus"], str(work / "corpus")] for path in sorted(Path(folder).iterdir())]

    def keep(data: bytes) -> None:
        (work / "corpus" / f"own-{len(os.listdir(work / 'corpus'))}").write_bytes(data)
    own_mutators(target, record, [path.read_bytes() for path in files], keep, random.Random(request["seed"]), until)
    return 0


if __name__ == "__main__":
    sys.exit(main())
