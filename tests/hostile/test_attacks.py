"""Every attack is refused with its words, or answered rightly; nothing is run, opened or changed on the way.

docs/attacks.md shows the table; `python tools/attacks.py` prints it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("h5py")
pytest.importorskip("onnx")
if os.name != "posix":
    pytest.skip("processes are forked, and links and pipes made", allow_module_level=True)

from attacks import calls
from attacks.attack import Attack, Refused, Right, Table
from attacks.cases import ATTACKS, TABLES
from attacks.page import row, summary
from attacks.run import SANITIZED, outcomes

from lstm_engine.errors import ArgumentError

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"


@pytest.mark.unchecked("the check runs ONNX's reference, which the watcher sees being loaded")
@pytest.mark.parametrize("table", TABLES, ids=[table.format for table in TABLES])
def test_attacks(table, tmp_path):
    # A sanitizer reports each request for memory that nobody has.
    chosen = [attack for attack in table.attacks
              if not (SANITIZED and str(attack.expected).startswith("OutOfMemoryError"))]
    found = outcomes(table, tmp_path, chosen)
    wrong = [f"{outcome.attack.name}: {fault}" for outcome in found for fault in outcome.wrong]
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_row_says_which_attack_it_is():
    assert len(ATTACKS) >= 300
    for attack in ATTACKS.values():
        assert attack.name and attack.source
        if isinstance(attack.expected, Refused):
            assert len(attack.expected.message) >= 8, attack.name         # less could be part of any message


def test_the_page_is_that_of_these_attacks():
    lines = PAGE.read_text(encoding="utf-8").split("\n")
    written = [line.rsplit("|",
        3)[0] + "|" for line in lines if line.startswith("| ") and not line.startswith("| attack")]
    assert written == [row(attack) for attack in ATTACKS.values()], "run python tools/attacks.py --write"
    assert [line for line in lines if line.startswith("## ")] == [f"## {table.format}" for table in TABLES]
    assert any(line.startswith(summary(ATTACKS.values())) for line in lines)


MISDEEDS = {
    "reads outside": "did open(",
    "writes outside": "did open(",
    "runs a program": "did os.system",
    "imports a module": "did import",
    "unpickles": "did pickle.find_class",
    "opens a socket": "did socket.",
    "loads a library": "did ctypes.dlopen",
    "changes its file": "changed files/deed.txt",
    "leaves a file": "changed files/left.txt",
    "takes 400 MB": "took ",
    "takes 400 MB in a child": "took ",
    "crashes": "ended by signal 11",
    "ends": "ended by exit code 3",
    "raises an error of no class of ours": "ZeroDivisionError is no LstmEngineError",
    "says what a terminal obeys": "that a terminal may obey",
}


def test_the_judge_sees_what_is_wrong(tmp_path):
    """Uses that do what no attack may bring about: each is seen, so the tests above can fail."""
    table = Table("misdeeds", "deed.txt", lambda: "nothing", calls.misdeed)
    expected = {name: Right([], "") for name in MISDEEDS}
    expected["raises an error of no class of ours"] = Refused(ZeroDivisionError, "division")
    expected["says what a terminal obeys"] = Refused(ArgumentError, "clear")
    table.attacks += [Attack("misdeeds", name, "this test", lambda folder, name=name: _named(folder, name), outcome,
                             calls.misdeed) for name, outcome in expected.items()]
    found = {outcome.attack.name: " ".join(outcome.wrong) for outcome in outcomes(table, tmp_path)}
    assert {name: text for name, text in MISDEEDS.items() if text not in found[name]} == {}, found


def _named(folder: Path, name: str) -> Path:
    (folder / "deed.txt").write_text(name)
    return folder / "deed.txt"
