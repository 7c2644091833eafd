"""The program as a whole: help, usage, exit codes, one line an error, streams, pipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.cli import main as program_module

COMMANDS = ("convert", "inspect", "predict", "verify", "quantize", "bench", "demo", "info")


def one_error(text: str) -> str:
    """The message of a stderr that holds one error and nothing else."""
    assert text.startswith("lstm-engine: error: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text.removeprefix("lstm-engine: error: ").strip()


def test_help_lists_the_commands_that_there_are(cli):
    ended = cli("--help")
    assert ended.code == 0 and ended.err == ""
    assert all(f"\n    {command} " in ended.out for command in COMMANDS)
    assert "explain" not in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(cli, command):
    ended = cli(command, "--help")
    assert ended.code == 0 and ended.err == "" and ended.out.startswith(f"usage: lstm-engine {command}")


def test_version(cli):
    assert cli("--version").out == f"lstm-engine {le.__version__}\n"


@pytest.mark.parametrize("argv", [[], ["quantise"], ["--colour"], ["info", "--nothing"], ["info", "more"], ["convert"],
                                  ["info", "--jso"]])
def test_a_wrong_command_line_is_one_line_and_code_2(cli, argv):
    ended = cli(*argv)
    assert ended.code == 2 and ended.out == ""
    one_error(ended.err)


def test_a_failed_job_is_one_line_and_code_1(program):
    ended = program("inspect", "nowhere.lstm")
    assert ended.code == 1 and ended.out == ""
    assert one_error(ended.err) == "cannot read nowhere.lstm: No such file or directory"


def test_names_cannot_break_the_line_or_command_the_terminal(cli, tmp_path):
    ended = cli("inspect", tmp_path / "a\n\x1b[31mb.lstm")
    assert ended.code == 1 and r"a\n\x1b[31mb.lstm" in one_error(ended.err)


def test_a_layers_name_cannot_command_the_terminal(cli, tmp_path):
    node = le.graph.Dense(name="\x1b[2Jx", inputs=("a",), outputs=("b\nc",), kernel=np.ones((2, 1), np.float32))
    le.Model(le.graph.Graph((le.graph.Value("a", ("batch", 2)),), (node,), ("b\nc",))).save(tmp_path / "m.lstm")
    ended = cli("inspect", tmp_path / "m.lstm")
    assert ended.code == 0 and "\x1b" not in ended.out and r"\x1b[2Jx" in ended.out and r"b\nc" in ended.out


@pytest.mark.parametrize(("error", "code", "message"), [
    (KeyboardInterrupt(), 130, "interrupted"),
    (MemoryError(), 1, "not enough memory"),
    (le.OutOfMemoryError("the weights need 9 GB"), 1, "the weights need 9 GB"),
    (PermissionError(13, "Permission denied", "locked.npy"), 1, "locked.npy: Permission denied"),
    (le.FileError(28, "cannot write x: No space left on device"), 1, "cannot write x: No space left on device"),
    (le.MissingDependencyError("needs h5py"), 1, "needs h5py"),
    (le.ArgumentTypeError("expected numbers"), 1, "expected numbers"),
])
def test_what_goes_wrong_inside_a_command(cli, monkeypatch, error, code, message):
    def fail(arguments):
        raise error

    monkeypatch.setattr("lstm_engine.cli.info.run", fail)
    ended = cli("info")
    assert ended.code == code and ended.out == "" and one_error(ended.err) == message


def test_a_bug_keeps_its_traceback(cli, monkeypatch):
    def fail(arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("lstm_engine.cli.info.run", fail)
    with pytest.raises(ZeroDivisionError):
        cli("info")


def test_only_the_command_called_is_imported():
    code = ("import sys; from lstm_engine.cli.main import main; main(['info']);"
            "print([n for n in sys.modules if n.startswith('lstm_engine.cli.') or n in ('h5py', 'onnx', 'torch')])")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           cwd=os.path.dirname(os.path.dirname(le.__file__)))
    loaded = ended.stdout.rpartition("\n[")[2]
    assert "lstm_engine.cli.info" in loaded
    assert not any(name in loaded for name in ("cli.demo", "cli.bench", "cli.predict", "'h5py'", "'onnx'", "'torch'"))


def test_a_reader_that_goes_away_is_no_error(start_program, models, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3000, 20), np.int32))
    process = start_program("predict", models / "ids.lstm", tmp_path / "x.npy")
    assert process.stdout.readline() == b"sequence,step,output_0,output_1\n"
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == program_module.BROKEN_PIPE
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device without space")
def test_a_full_disk_under_stdout_fails(start_program):
    with open("/dev/full", "wb") as full:
        process = start_program("info", stdout=full)
        _, err = process.communicate()
    assert process.returncode == 1 and one_error(err.decode()) == "No space left on device"


def test_a_command_that_fails_leaves_the_process_its_stdout():
    """A program that calls `main` goes on printing, and no descriptor is left open."""
    code = ("import os; from lstm_engine.cli.main import main; main(['inspect', 'none.lstm']);"
            "before = len(os.listdir('/dev/fd')); main(['inspect', 'none.lstm']);"
            "print(len(os.listdir('/dev/fd')) - before)")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           cwd=os.path.dirname(os.path.dirname(le.__file__)))
    assert ended.stdout == "0\n" and ended.stderr.count("cannot read none.lstm") == 2


def test_text_that_the_encoding_lacks_is_escaped(program, tmp_path):
    node = le.graph.Dense(name="schön", inputs=("a",), outputs=("b",), kernel=np.ones((2, 1), np.float32))
    le.Model(le.graph.Graph((le.graph.Value("a", ("batch", 2)),), (node,), ("b",))).save(tmp_path / "m.lstm")
    ended = program("inspect", tmp_path / "m.lstm", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ended.code == 0 and r"sch\xf6n" in ended.out and ended.err == ""


def test_the_page_on_the_program_names_its_options(cli):
    """Every option in docs/cli.md is one, and every option of a command is in its part of the page or before all."""
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    general, *parts = re.split(r"^## ", page, flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part for part in parts}
    assert set(sections) == set(COMMANDS) - {"info"} | {"Environment"}
    known = {"--help", "--version"}
    for command in COMMANDS:
        options = set(re.findall(r"--[a-z][a-z-]*", cli(command, "--help").out)) - {"--help"}
        known |= options
        assert options <= set(re.findall(r"--[a-z][a-z-]*", general + sections.get(command, ""))), command
    assert set(re.findall(r"--[a-z][a-z-]*", page)) <= known
