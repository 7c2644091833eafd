"""The judge's side: makes the files of attacks, has the victim use them, and says what was wrong."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .attack import Attack, Right, Table

MOST_MB = 256                # of memory beside what the files themselves are long
MOST_MESSAGE = 4000          # characters of an error
CANARY = "lstm_engine_was_here"              # what payloads try to create
SANITIZED = "LSTM_ENGINE_SANITIZED" in os.environ        # tools/sanitize_extension.py: memory is another there
BATCH_SECONDS = 3600         # a guard: a process that hangs ends itself much earlier


@dataclass
class Outcome:
    """What came of one attack. report: the victim's. changed: files that are not as they were."""

    attack: Attack
    report: dict[str, Any]
    changed: list[str] = field(default_factory=list)
    file_mb: float = 0.0

    @property
    def text(self) -> str:
        """What happened, in the words that the table uses."""
        if "error" in self.report:
            return f"{self.report['error']}: {self.report['message']}"
        if "numbers" in self.report:
            return "opens"
        return f"ended by {self.report.get('ended') or self.report.get('harness')}"

    @property
    def wrong(self) -> list[str]:
        """Every way in which this is not what must come of the attack."""
        return [*self._wrong_outcome(), *(f"did {event}" for event in self.report.get("events", [])),
                *(f"changed {name}" for name in self.changed),
                *([f"took {self.report['mb']:.0f} MB"] if self.report.get("mb", 0) > MOST_MB + self.file_mb
                  and not SANITIZED else [])]

    def _wrong_outcome(self) -> Iterator[str]:
        expected = self.attack.expected
        if isinstance(expected, Right):
            if not alike(self.report.get("numbers", self.report), expected.numbers):
                yield f"expected {str(expected.numbers):.300}, got {str(self.report.get('numbers', self.text)):.600}"
            return
        message = self.report.get("message", "")
        if self.report.get("error") != expected.error.__name__ or expected.message not in message:
            yield f"expected {expected}, got {self.text:.600} {str(self.report.get('numbers', '')):.200}"
        elif not {"LstmEngineError", "UsageError"} & set(self.report["kinds"]):
            yield f"{expected.error.__name__} is no LstmEngineError"
        elif len(message) > MOST_MESSAGE or not message.isprintable():
            yield f"a message of {len(message)} characters that a terminal may obey: {message[:300]!r}"


def alike(ours: Any, theirs: Any) -> bool:
    """Equal; numbers but for the rounding of a few float32 sums of terms around 1."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(alike(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, float) and isinstance(theirs, float):
        return abs(ours - theirs) <= 1e-6 * max(1, abs(theirs))
    return type(ours) is type(theirs) and ours == theirs


def outcomes(table: Table, folder: Path, attacks: Sequence[Attack] | None = None) -> Iterator[Outcome]:
    """Use the files of a table's attacks, made below an empty folder, one after the other."""
    chosen = table.attacks if attacks is None else attacks
    good = folder / "good"
    good.mkdir()
    requests = []
    for attack in chosen:
        inside = folder / attack.key / "files"
        inside.mkdir(parents=True)
        (inside.parent / "outside").mkdir()
        (inside.parent / "outside" / "secret.bin").write_bytes(bytes(4096))
        requests.append({"key": attack.key, "use": _named(attack.use), "path": str(attack.write(inside)),
                         "folder": str(inside)})
    before = {attack.key: listing(folder / attack.key) for attack in chosen}
    request = {"warm_up": {"use": _named(table.use), "path": str(table.warm_up(good))}, "attacks": requests}
    for attack, report in zip(chosen, _victim(request), strict=True):
        now = listing(folder / attack.key)
        size = sum(entry[1] for entry in now.values())
        yield Outcome(attack, report, _differences(attack, before[attack.key], now), size / 2**20)
    assert not list(folder.rglob(CANARY)), "a payload was run"


def _named(function: Any) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def _victim(request: dict) -> list[dict]:
    """The reports of the victim's process on each attack."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1",
                                "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-m", f"{__package__}.victim"], input=json.dumps(request), text=True,
                          capture_output=True, env=environment, timeout=BATCH_SECONDS, check=False)
    if done.returncode:
        raise AssertionError(f"the victim's process failed: {done.stderr[-4000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


Listing = dict[str, tuple[str, int]]


def listing(folder: Path) -> Listing:
    """What lies below a folder: by name what it is, with a digest of a file's bytes or where a link leads, and how long
    it is."""
    found: Listing = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        size = status.st_blocks * 512 if kind == stat.S_IFREG else 0
        text = f"{status.st_mode:o}"
        if kind == stat.S_IFLNK:
            text += os.readlink(path)
        elif kind == stat.S_IFREG:
            with open(path, "rb") as file:
                text += hashlib.file_digest(file, "sha1").hexdigest() if sys.version_info >= (3, 11) \
                    else hashlib.sha1(file.read()).hexdigest()
        found[path.relative_to(folder).as_posix()] = (text, size)
    return found


def _differences(attack: Attack, before: Listing, now: Listing) -> list[str]:
    """Names of what was added, taken away or changed, but for what the attack says it writes."""
    names = {name for name in before.keys() | now.keys() if before.get(name, ("",))[0] != now.get(name, ("",))[0]}
    return sorted(names - {f"files/{name}" for name in attack.writes})
