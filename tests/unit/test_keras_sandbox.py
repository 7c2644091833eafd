"""The sandbox: what a parser does in the child process becomes an answer or an error, never harm."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import sandbox_parsers  # noqa: F401  (found here, so found in the child, which gets this process' path)

import lstm_engine as le
from lstm_engine.errors import FileError, FormatError, MissingDependencyError, UnsupportedError
from lstm_engine.importers.reading import confinement, sandbox, sandbox_child

POSIX = pytest.mark.skipif(os.name != "posix", reason="limits of memory, CPU time and files are POSIX's")


@pytest.fixture
def path(tmp_path) -> Path:
    made = tmp_path / "model.bin"
    made.write_bytes(b"0123456789")
    return made


def run(name: str, path: Path, **options):
    return sandbox.run(f"sandbox_parsers:{name}", path, what="the test parser", **options)


def test_an_answer(path):
    result, arrays = run("good", path)
    assert result == {"size": 10}
    assert bytes(arrays["bytes"]) == b"0123456789"
    assert arrays["scalar"].shape == () and arrays["scalar"] == 2
    assert arrays["big endian"].dtype == np.dtype("<f8")
    np.testing.assert_array_equal(arrays["big endian"], [0, 1, 2])
    np.testing.assert_array_equal(arrays["transposed"], [[0, 3], [1, 4], [2, 5]])
    assert arrays["none"].shape == (0, 4)
    arrays["bytes"][0] = 1                           # its own memory


@pytest.mark.parametrize("name, kind, message", [
    ("format_error", FormatError, "model.bin: part 7 is bad"),
    ("unsupported", UnsupportedError, "model.bin: layer 'x' is not supported"),
    ("missing", MissingDependencyError, "model.bin: needs h5py"),
    ("other_error", FormatError, "model.bin: KeyError: 'nothing of ours'"),
    ("recurses", FormatError, "model.bin: it is nested too deeply"),
    ("strings", UnsupportedError, "model.bin: names: arrays of type <U1 are not supported; supported: bool, int8,"),
    ("too_much", FormatError, "model.bin: its arrays claim 4398046511104 bytes, far beyond the size of the file"),
    ("late_error", FormatError, "model.bin: second: OSError: inflate() failed"),
    ("segmentation_fault", FormatError, "model.bin: the test parser crashed (signal 11)"),
    ("ends_in_a_piece", FormatError, "model.bin: the test parser failed (exit code 1)"),
    ("late_crash", FormatError, "model.bin: the test parser crashed (signal 11)"),
    ("fails", FormatError, "model.bin: the test parser failed (exit code 3)"),
    ("leaves", FormatError, "model.bin: the test parser answered 0 bytes of 8"),
])
def test_errors(name, kind, message, path):
    if "signal" in message and os.name != "posix":
        pytest.skip("signals are POSIX's")
    with pytest.raises(kind) as caught:
        run(name, path)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(str(path.parent)) and message in str(caught.value)


@POSIX
def test_a_loop_ends(path, monkeypatch):
    monkeypatch.setattr(sandbox, "BASE_SECONDS", 0.2)
    with pytest.raises(FormatError, match="model.bin: the test parser took too long"):
        run("loops", path)


def test_waiting_ends(path, monkeypatch):
    monkeypatch.setattr(sandbox, "START_SECONDS", 1.0)
    monkeypatch.setattr(sandbox, "BASE_SECONDS", 0.05)
    with pytest.raises(FormatError, match="model.bin: the test parser took too long"):
        run("sleeps", path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces a limit of address space")
def test_memory_is_limited(path):
    with pytest.raises(FormatError, match="model.bin: reading it takes more memory than a file of its size may"):
        run("eats_memory", path)


@pytest.mark.skipif(confinement.missing() != "", reason=f"confinement: {confinement.missing()}")
def test_what_a_parser_may_still_do(path):
    """A parser that the file has taken over gets EPERM for everything but reading its file, memory and the answer."""
    result, _ = run("attempts", path)
    allowed = {name: outcome for name, outcome in result["outcome"].items() if outcome != "EPERM"}
    assert allowed == {"start a thread": "can't start new thread"}
    assert result["environment"] == {}
    assert result["rest"] == "0123456789"
    assert path.read_bytes() == b"0123456789" and os.listdir(path.parent) == ["model.bin"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")
@pytest.mark.parametrize("refuse", ["limit", "filter_system_calls"])
def test_a_limit_that_cannot_be_set_is_said(refuse, monkeypatch, tmp_path):
    """The child says so, and parses nothing."""
    monkeypatch.setattr(sandbox_child.os, "environ", {})

    def refused(*_, **__):
        raise confinement.CannotConfine("RLIMIT_AS: not permitted")

    monkeypatch.setattr(confinement, "limit", lambda *_: None)
    monkeypatch.setattr(confinement, refuse, refused)
    with pytest.raises(UnsupportedError, match="cannot be confined as this system promises .RLIMIT_AS: not permitted."):
        sandbox_child._confine(5, 1 << 30, 1.0)


def test_info_says_what_confines_the_parsers(monkeypatch):
    assert le.info()["sandbox"] == (confinement.missing() or "limits, and a filter of system calls")
    monkeypatch.setattr(confinement.sys, "platform", "darwin")
    assert le.info()["sandbox"] == "no filter of system calls on darwin"


def test_bytes_that_come_in_pieces(path):
    _, arrays = run("in_pieces", path)
    assert arrays["second"].tobytes() == b"abcdef" and arrays["second"].dtype == "uint8"


def test_most_bytes(path):
    with pytest.raises(FormatError, match="model.bin: its arrays claim 62 bytes, far beyond"):
        run("good", path, max_bytes=20)


def test_the_child_sees_little(path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    seen, _ = run("environment", path)
    assert "SECRET" not in seen["names"] and "PYTHONPATH" not in seen["names"] and seen["isolated"]
    # Neither the package around the parser nor its C extension is executed, which keeps the start short.
    assert set(seen["modules"]) <= {"lstm_engine", "lstm_engine.errors", "lstm_engine.importers",
                                    "lstm_engine.importers.reading",
                                    "lstm_engine.importers.reading.answer",
                                    "lstm_engine.importers.reading.confinement",
                                    "lstm_engine.importers.reading.sandbox_child"}


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileError, match="cannot read .*absent"):
        run("good", tmp_path / "absent")
    with pytest.raises(FileError, match="it is a folder; expected a file"):
        run("good", tmp_path)


def test_a_relative_path(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    assert run("good", Path("model.bin"))[0] == {"size": 10}


def answer(header: object, *rest: bytes) -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(sandbox.MAGIC + len(text).to_bytes(8, "little") + text + b"".join(rest))


GOOD = {"result": {}, "arrays": [["x", "float32", [2]]]}


@pytest.mark.parametrize("pipe, message", [
    (io.BytesIO(b"noise that is no answer"), "without its mark"),
    (io.BytesIO(sandbox.MAGIC + b"\xff" * 8), "a header of 18446744073709551615 bytes"),
    (answer(GOOD, ).read(12), "bytes of 8"),
    (answer(b"{"), "a header: not JSON"),
    (answer(b"[" * 100000), "a header: nested too deeply"),
    (answer([]), "a header: must be a JSON object, got a list"),
    (answer(b'{"result": {}, "arrays": [], "arrays": []}'), "a header: the key 'arrays' appears twice"),
    (answer({"result": {}}), "a header without its parts"),
    (answer({"result": 1, "arrays": []}), "a header without its parts"),
    (answer({"error": "evil", "message": "x"}), "a header without its parts"),
    (answer({"error": "format", "message": 5}), "a header without its parts"),
    (answer({"result": {}, "arrays": [["x", "object", [2]]]}), "an array that is not described"),
    (answer({"result": {}, "arrays": [["x", "float32", [-1]]]}), "an array that is not described"),
    (answer({"result": {}, "arrays": [["x", "float32", [True]]]}), "an array that is not described"),
    (answer({"result": {}, "arrays": [["x", "float32", [1] * 33]]}), "an array that is not described"),
    (answer({"result": {}, "arrays": [["x", "float32", [2**29, 2**29]]]}), "more than 1000 bytes of arrays"),
    (answer({"result": {}, "arrays": [["x", "float32", [0, 2**33, 2**33]]]}), "an array that is not described"),
    (answer({"result": {}, "arrays": [5]}), "an array that is not described"),
    (answer({"result": {}, "arrays": [["x", "int8", [0]]] * 2}, b"\1\1"), "the array 'x' twice"),
    (answer(GOOD, b"\1", b"1234"), "an array 'x' that ends early"),
    (answer(GOOD, b"\0", b"\2" + bytes(7) + b"{}"), "an error that is none"),
    (answer(GOOD), "0 bytes of 1"),
])
def test_answers_that_are_none(pipe, message):
    """A child that a file has taken over may write anything."""
    pipe = io.BytesIO(pipe) if isinstance(pipe, bytes) else pipe
    with pytest.raises(sandbox.Nonsense, match=message):
        header = sandbox._read_header(pipe)
        sandbox._read_arrays(pipe, header["arrays"], 1000)
