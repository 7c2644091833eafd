"""Files that are opened and written: what is no file, names, modes, and writers that were killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.errors import FileError
from lstm_engine.files import open_regular
from lstm_engine.format.atomic import atomic_write

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, pipes and signals are POSIX matters")


def write(path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


@POSIX
@pytest.mark.parametrize("suffix", ["", ".lstm", ".keras", ".h5", ".pt", ".safetensors", ".onnx", ".npz"])
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path, suffix):
    pipe = tmp_path / f"model{suffix}"
    os.mkfifo(pipe)
    for opened in (le.load, le.convert):
        with pytest.raises(FileError, match=r"cannot read .*model.*: it is a named pipe; expected a file"):
            opened(pipe)


@pytest.mark.parametrize("opened", [le.load, le.convert, open_regular])
def test_what_is_no_file_is_said(tmp_path, opened):
    for path, reason in ((tmp_path, "it is a folder; expected a file"), (tmp_path / "none.onnx", "No such file"),
                         ("a\0b.onnx", r"a\\0b.onnx: embedded null byte")):
        with pytest.raises(FileError, match=f"cannot read .*{reason}"):
            opened(path)


def test_a_spec_that_is_no_file_is_said(tmp_path):
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    with pytest.raises(FileError, match="cannot read .*: it is a folder; expected a file"):
        le.convert(tmp_path / "arrays.npz", spec=tmp_path)


def test_a_path_that_cannot_be_written_is_said(tmp_path):
    for path, reason in (("a\0b.lstm", r"a\\0b.lstm: embedded null"), (tmp_path / ("x" * 300), "File name too long")):
        with pytest.raises(FileError, match=f"cannot write .*{reason}"):
            write(path, b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["\u6f22" * 80 + ".lstm", "x" * 255, "\u00e9" * 127, "\U0001f600" * 63])
def test_names_have_bytes_not_characters(tmp_path, name):
    """80 CJK characters are 240 bytes; a file system takes 255, and the temporary file's name has to fit too."""
    for data in (b"first", b"second"):
        write(tmp_path / name, data)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"second"


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "model.lstm"
    path.write_bytes(b"old")
    path.chmod(mode)
    seen = []
    with atomic_write(path) as file:
        file.write(b"new")
        seen += [stat.S_IMODE(other.stat().st_mode) for other in tmp_path.iterdir() if other != path]
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"new"
    assert seen == [0o600]                    # nobody else reads what is written meanwhile


_WRITER = """
import sys, time
from lstm_engine.format.atomic import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


@POSIX
def test_what_a_killed_writer_leaves_is_removed_by_the_next(tmp_path):
    path, other = tmp_path / "model.lstm", tmp_path / "model.lstm.other"
    path.write_bytes(b"old")
    killed, alive = (subprocess.Popen([sys.executable, "-c", _WRITER, str(target)], stdout=subprocess.PIPE)
                     for target in (path, path))
    try:
        for writer in (killed, alive):
            assert writer.stdout.readline() == b"writing\n"
        killed.kill()
        killed.wait()
        write(other, b"")                     # another file's temporary files are its own business
        assert len(list(tmp_path.iterdir())) == 4 and path.read_bytes() == b"old"
        write(path, b"new")
        left = sorted(entry.name for entry in tmp_path.iterdir())
        assert len(left) == 3 and left[1:] == ["model.lstm", "model.lstm.other"]      # the living writer's is kept
    finally:
        for writer in (killed, alive):
            writer.kill()
            writer.wait()
            writer.stdout.close()
    write(path, b"newer")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.lstm", "model.lstm.other"]


_SAVER = """
import sys
import numpy as np
import lstm_engine as le
model = le.Model([le.Dense(np.full((512, 512), float(sys.argv[2]), np.float32))])
print("ready", flush=True)
while True:
    model.save(sys.argv[1])
"""


@POSIX
def test_a_save_killed_at_any_point_leaves_a_whole_file(tmp_path):
    """30 writers, killed after 0 to 30 ms of saving again and again: the file is always one of those written, whole."""
    path = tmp_path / "model.lstm"
    le.Model([le.Dense(np.full((512, 512), -1.0, np.float32))]).save(path)
    for number in range(30):
        with subprocess.Popen([sys.executable, "-c", _SAVER, str(path), str(number)], stdout=subprocess.PIPE) as saver:
            assert saver.stdout.readline() == b"ready\n"
            time.sleep(number / 1000)
            saver.send_signal(signal.SIGKILL)
        kernel = le.load(path).graph.nodes[0].kernel
        assert kernel.min() == kernel.max() and -1 <= kernel[0, 0] <= number
    write(path, b"")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.lstm"]
