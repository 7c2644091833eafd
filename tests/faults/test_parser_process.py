"""Faults in the child process that parses a stranger's file, and signals to the one that waits for it."""

from __future__ import annotations

import errno
import signal
import subprocess

import model_files
import pytest
from faults import control
from faults.control import Fault

import lstm_engine as le
from lstm_engine.importers.reading import sandbox

pytest.importorskip("h5py")
pytest.importorskip("onnx")

STDIN = 0                       # what the child reads the file from
KINDS = ("keras", "h5", "onnx")
REFUSED = Fault("EIO", control.READ, error=errno.EIO, descriptor=STDIN)
SHORT = Fault("short", control.READ, control.SHORT, descriptor=STDIN, every=True)
ENDS = Fault("ends early", control.READ, control.END, descriptor=STDIN, every=True)
MEMORY = Fault("memory", control.ANY_MEMORY)


@pytest.fixture
def child_with(shim, monkeypatch):
    """Start the children of the sandbox with a fault in them: child_with(fault, at)."""
    def arrange(fault: Fault, at: int) -> None:
        def start(*args, env, **options):
            return plain(*args, env={**env, "LD_PRELOAD": str(control.compiled(shim)),
                                     "LSTM_ENGINE_FAULT": fault.setting(at)}, **options)

        monkeypatch.setattr(sandbox.subprocess, "Popen", start)

    plain = subprocess.Popen
    return arrange


def answer(source) -> bytes:
    return model_files.bits(source.model().predict(source.x))


def refused_by_name(source) -> bool:
    """Whether reading is an error of ours, which names the file then."""
    try:
        source.model()
    except le.LstmEngineError as error:
        assert source.path.name in str(error)
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault, at", [(REFUSED, 1), (REFUSED, 2), (ENDS, 1), (ENDS, 2)],
                         ids=lambda part: getattr(part, "name", part))
def test_what_the_child_cannot_read_is_an_error_that_names_the_file(kind, fault, at, child_with, tmp_path):
    source = model_files.KINDS[kind](tmp_path)
    right = answer(source)
    child_with(fault, at)
    # The parser may do without its second call.
    assert refused_by_name(source) or at > 1 and answer(source) == right


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_that_reads_in_pieces_gives_the_same_model(kind, child_with, tmp_path):
    source = model_files.KINDS[kind](tmp_path)
    right = answer(source)
    child_with(SHORT, 1)
    assert answer(source) == right


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [1000, 5000, 20000])
def test_a_child_short_of_memory_is_an_error_that_names_the_file(kind, at, child_with, tmp_path):
    """Also where the parser, or the interpreter itself, does not survive it."""
    source = model_files.KINDS[kind](tmp_path)
    right = answer(source)
    child_with(MEMORY, at)
    assert refused_by_name(source) or answer(source) == right


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")
@pytest.mark.parametrize("kind", KINDS)
def test_signals_while_the_answer_is_awaited(kind, tmp_path):
    """Each wait is interrupted, and goes on. Not so often that a fork, which begins anew, never ends."""
    source = model_files.KINDS[kind](tmp_path)
    right = answer(source)
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        made = [answer(source) for _ in range(4)]           # a child may be done in the time of two signals
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert made == [right] * 4 and len(rung) > 3
