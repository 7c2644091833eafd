"""Every input of the fuzzers' corpora through its target; and faults planted in readers, runs and answers, which the
fuzzers must find: one that cannot find anything would pass for ever."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest
from fuzzers import CORPUS, MARK, ROOT, State, campaign, child, fault, findings, misuse_of_calls, rule, targets, zips

# The clock of a loaded machine judges nothing here: what never ends is ended by the same rule.
PATIENT = 30.0
NEEDS = {"onnx": "onnx", "onnx-answer": "onnx", "onnx-run": "onnx", "onnx-whole": "onnx", "keras-whole": "h5py",
         "h5-whole": "h5py"}


def loaded(name: str):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return targets.load(name)


@pytest.mark.parametrize("name", targets.FILES)
def test_every_input_of_a_corpus_keeps_the_rule(name):
    target = loaded(name)
    judge = rule.Judge(target.execute, PATIENT)
    files = list(target.corpus())
    assert files and target.name == name
    outcomes = {file.name: judge(file.read_bytes()) for file in files}
    assert {file: outcome.text for file, outcome in outcomes.items() if isinstance(outcome, rule.Finding)} == {}
    # A right file among them is read to its end, or the target would only ever see the first check.
    assert any(outcome.startswith(("read", "ran", "2 arrays", *vars(misuse_of_calls.Calls)))
               for outcome in outcomes.values()), outcomes


def test_the_corpus_is_what_its_maker_makes(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    pytest.importorskip("torch")
    pytest.importorskip("keras")
    subprocess.run([sys.executable, ROOT / "tools" / "fuzz" / "make_corpus.py", tmp_path], check=True)
    made = {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}
    kept = {file.relative_to(CORPUS): file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()}
    assert made == set(kept) and {file.parts[0] for file in kept} == set(targets.FILES)
    assert sum(kept.values()) < 1 << 19 and max(kept.values()) < 1 << 15


@pytest.mark.parametrize("name", targets.FILES)
def test_mutators_change_inputs_within_their_format(name):
    """Most changes leave something to read: what is made has outcomes of many kinds, not one."""
    target = loaded(name)
    rng = random.Random(0)
    files = [file.read_bytes() for file in target.corpus()]
    made = [target.mutate(rng.choice(files), rng) for _ in range(150)]
    assert all(isinstance(data, bytes) for data in made) and len(set(made)) > 50
    if not target.whole:
        judge = rule.Judge(target.execute, PATIENT)
        outcomes = {outcome if isinstance(outcome, str) else outcome.kind for outcome in map(judge, made)}
        assert len(outcomes) >= (2 if name == "answer" else 10), outcomes


# ---- planted faults -----------------------------------------------------------------------------------------------

def found_by_own_mutators(target, tmp_path, executions, corpus=(b"abc",), slower=PATIENT) -> list[str]:
    """The first lines of the findings that so many executions leave."""
    kept = findings.Folder(tmp_path, target.name)
    record = child.Recorder(target, rule.Judge(target.execute, slower), State(tmp_path / "state"), kept)
    child.own_mutators(target, record, list(corpus), lambda data: None, random.Random(1), math.inf, executions)
    return [path.with_suffix(".txt").read_text().split("\n")[0] for path in kept.all()]


@pytest.mark.parametrize("name, executions, slower", [
    ("KeyError", 300, PATIENT), ("RecursionError", 60, PATIENT), ("MemoryError", 300, PATIENT),
    ("memory", 40, PATIENT), ("slow", 40, 0.02)])
def test_a_reader_with_a_fault_is_found(name, executions, slower, tmp_path):
    found = found_by_own_mutators(fault(name), tmp_path, executions, slower=slower)
    assert [line.split()[0] for line in found] == [name]
    data = findings.Folder(tmp_path, name).all()[0].read_bytes()
    assert MARK in data


def test_a_reader_that_raises_at_a_byte_is_found(tmp_path, monkeypatch):
    """In the package itself: a safetensors reader that knows no dtype but the usual."""
    from lstm_engine.importers.reading import safetensors

    target = targets.load("safetensors")
    corpus = [file.read_bytes() for file in target.corpus()]
    monkeypatch.setattr(safetensors, "parse_object", lambda raw, part: {**json.loads(raw)})
    assert any("JSONDecodeError at safetensors.py" in line
               for line in found_by_own_mutators(target, tmp_path, 500, corpus))


def test_a_wrong_bit_of_an_answer_is_found(tmp_path, monkeypatch):
    """Lengths that change the last bit of one element."""
    from lstm_engine.running.predict import Predictor

    right = Predictor.__call__

    def wrong(self, x, lengths, *more):
        answer = right(self, x, lengths, *more)
        if lengths is not None and isinstance(answer, np.ndarray) and answer.size and answer.dtype == np.float32:
            answer.reshape(-1).view(np.uint32)[0] ^= 1
        return answer
    monkeypatch.setattr(Predictor, "__call__", wrong)
    target = targets.load("api")
    assert found_by_own_mutators(target, tmp_path, 150, [file.read_bytes() for file in target.corpus()])


def test_operators_that_fail_in_their_own_way_are_found(tmp_path, monkeypatch):
    from lstm_engine.operators import OPERATORS

    for name, spec in OPERATORS.items():
        broken = dataclasses.replace(spec, make=lambda attributes, node: {}["no such kernel"])
        monkeypatch.setitem(OPERATORS, name, broken)
    target = targets.load("graph")
    corpus = [file.read_bytes() for file in target.corpus()]
    assert any(line.startswith("KeyError") for line in found_by_own_mutators(target, tmp_path, 100, corpus))


def test_a_file_that_reading_changes_is_found(tmp_path, monkeypatch):
    from lstm_engine.importers.reading import zip_archive as archive

    target = targets.load("npz")
    good = next(target.corpus()).read_bytes()
    right = archive.Archive.__init__

    def wrong(self, file, size):
        right(self, file, size)
        with open(file.name, "ab") as again:
            again.write(b"x")
    monkeypatch.setattr(archive.Archive, "__init__", wrong)
    assert rule.Judge(target.execute, PATIENT)(good).kind == "changed"


# ---- what ends a process ------------------------------------------------------------------------------------------

def fuzzed(tmp_path, maker: str, engine: str, minutes: float = 0.1) -> campaign.Row:
    plan = campaign.Plan(engine, tmp_path, 1, more={"maker": f"fuzzers:{maker}"})
    return campaign.run([maker], plan, minutes)[0]


@pytest.mark.parametrize("maker", ["crash", "hang"])
def test_an_input_that_ends_the_process_is_found_and_fuzzing_goes_on(tmp_path, monkeypatch, maker):
    monkeypatch.setattr(campaign, "HANG", 3.0)
    monkeypatch.setattr(campaign, "MOST_ENDS", 2)
    row = fuzzed(tmp_path, maker, "own", 1.0)
    assert [path.read_text().split()[0] for path in tmp_path.rglob("*.txt")] == [maker]
    assert MARK in row.findings[0].read_bytes()
    assert "given up after 2 children" in row.problem and row.executions >= 2


def test_atheris_finds_it_too(tmp_path):
    pytest.importorskip("atheris")
    row = fuzzed(tmp_path, "key_error", "atheris", 0.1)
    assert not row.problem and row.executions > 100
    assert [path.read_text().split()[0] for path in tmp_path.rglob("*.txt")] == ["KeyError"]


# ---- smaller inputs, words, the command line ------------------------------------------------------------------------

def test_findings_are_made_smaller(tmp_path):
    from torch_bytes import archive

    assert findings.smaller(bytes(200) + b"\x07" + bytes(300), lambda data: 7 in data, 60) == b"\x07"
    tree = {"a": [1, 2, {"b": "x" * 50, "c": 3}], "d": {"e": None}}

    def names_c(data: bytes) -> bool:
        try:
            return '"c"' in json.dumps(json.loads(data))
        except ValueError:
            return False
    assert len(findings.smaller(json.dumps(tree).encode(), names_c, 60)) <= len('{"a": [{"c": 3}]}')

    def fails(data: bytes) -> bool:
        found = zips.records(data)
        return found is not None and b"\x07" in found.get("a", b"")
    small = findings.smaller(archive({"a": bytes(50) + b"\x07", "b": bytes(90)}), fails, 60)
    assert zips.records(small) == {"a": b"\x07"}


def test_words_are_spelt_as_libfuzzer_reads_them():
    assert child.dictionary([b'a"\\\xff', b"", b"x" * 65]) == '"a\\x22\\x5c\\xff"\n'


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "tools" / "fuzz" / "run.py", *map(str, arguments)], text=True,
                          capture_output=True)


def test_one_input_is_repeated():
    done = run("lstm", CORPUS / "lstm" / "tiny.lstm")
    assert (done.returncode, done.stdout) == (0, "read: Dense\n"), done.stderr
    assert run("lstm").returncode == 2 and run("no-such-target", "--minutes", "1").returncode == 2


def test_the_table(tmp_path):
    done = run("--minutes", "0.05", "--seed", "1", "--engine", "own", "--work", tmp_path, "answer", "csv")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[0] == "own, seed 1, 0.05 minutes over 2 targets"
    assert [line.split()[0] for line in lines[1:]] == ["target", "answer", "csv", "all"]
    assert int(lines[-1].split()[1].replace(",", "")) > 10
