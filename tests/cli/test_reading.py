"""Files that `predict` cannot read: one exact error each, and nothing unpickled."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from zip_bytes import made

import lstm_engine as le


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def refused(cli, model, path) -> str:
    """The message of the one error that predicting from `path` ends in."""
    ended = cli("predict", model, path)
    assert ended.code == 1 and ended.out == "" and ended.err.count("\n") == 1, ended
    assert ended.err.startswith(f"lstm-engine: error: {path}")
    return ended.err.removeprefix(f"lstm-engine: error: {path}").strip()


@pytest.mark.parametrize(("text", "message"), [
    ("", ": holds no rows"),
    ("\n\n", ": holds no rows"),
    ("1,2\n\n3\n", ", line 2: is empty"),
    ("1,2\n3,four\n", ", line 2, column 2: expected a whole number, got 'four'"),
    ("1,2.0\n", ", line 1, column 2: expected a whole number, got '2.0'"),
    ("a,b\n1,2\n", ", line 1, column 1: expected a whole number, got 'a'; names of sequences need "
                  "--name-column 1, a heading --header, rows that are steps --rows steps"),
    ("1,\n", ", line 1, column 2: expected a whole number, got ''"),
    ('1,"2\n', ", line 1: unexpected end of data"),
    (f"1,{2**70}\n", ": a token id does not fit 64 bits"),
])
def test_csv_of_ids(cli, models, tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert refused(cli, models / "ids.lstm", path) == message


@pytest.mark.parametrize(("text", "message"), [
    ("1\n", ", line 1: expected 2 numbers, or these and the name of their sequence or an index before them; "
            "got 1 field"),
    ("a,1,2\na,1\n", ", line 2: expected 3 fields, as line 1 has; got 2"),
    ("1,2\na,1,2\n", ", line 2: expected 2 fields, as line 1 has; got 3"),
    ("a,1,2\na,1,x\n", ", line 2, column 3: expected a number, got 'x'"),
    ("a,1,x\n", ", line 1, column 3: expected a number, got 'x'; if line 1 is a heading, type --header"),
    ("a,1,2\na,1,2\nb,1,2\na,1,2\n", ", line 4: the steps of sequence 'a' must stand together"),
])
def test_csv_of_numbers(cli, models, tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert refused(cli, models / "numbers.lstm", path) == message


def test_csv_that_is_not_text(cli, models, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n\xff\n")
    assert refused(cli, models / "ids.lstm", path) == ": not UTF-8 text: invalid start byte at byte 4"


def test_csv_holds_one_input(cli, models, tmp_path):
    (tmp_path / "x.csv").write_text("1\n")
    ended = cli("predict", models / "two.lstm", tmp_path / "x.csv", "-o", tmp_path / "y.npz")
    assert ended.code == 2 and "the model has 2 inputs (x, h0), CSV holds one: give an .npz" in ended.err
    ended = cli("predict", models / "two.lstm", tmp_path / "x.npy", "-o", tmp_path / "y.npz")
    assert ended.code == 2 and "the model has 2 inputs (x, h0): give an .npz" in ended.err


def test_csv_cannot_hold_rank_four(cli, tmp_path):
    node = le.graph.Dense(name="d", inputs=("x",), outputs=("y",), kernel=np.ones((2, 1), np.float32))
    le.Model(le.graph.Graph((le.graph.Value("x", ("batch", "a", "b", 2)),), (node,), ("y",))).save(tmp_path / "m.lstm")
    (tmp_path / "x.csv").write_text("1,2\n")
    ended = cli("predict", tmp_path / "m.lstm", tmp_path / "x.csv")
    assert ended.code == 2 and "which CSV cannot hold" in ended.err


def test_files_that_are_not_there(cli, models, tmp_path):
    for name in ("x.npy", "x.npz", "x.csv"):
        ended = cli("predict", models / "ids.lstm", tmp_path / name)
        assert ended.code == 1
        assert ended.err == f"lstm-engine: error: cannot read {tmp_path / name}: No such file or directory\n"


GOOD = npy(np.ones((2, 3), np.int32))


@pytest.mark.parametrize(("raw", "message"), [
    (b"", "EOF"),
    (b"1,2,3\n", "magic"),
    (GOOD[:40], "EOF"),
    (GOOD[:-1], "int32 [2, 3] needs 24 bytes, the file holds 23"),
    (GOOD + b"x", "int32 [2, 3] needs 24 bytes, the file holds 25"),
    (GOOD.replace(b"(2, 3)", b"(9999999999999, 3)"), "needs 119,999,999,999,988 bytes, the file holds"),
    (GOOD.replace(b"<i4", b"<q9"), "descr"),
    (GOOD.replace(b"{'descr'", b"{__im(''"), ""),           # Python's own words for it change
    (npy(np.ones((2, 3), "O")), "Object arrays cannot be loaded when allow_pickle=False"),
])
def test_npy(cli, models, tmp_path, raw, message):
    path = tmp_path / "x.npy"
    path.write_bytes(raw)
    told = refused(cli, models / "ids.lstm", path)
    assert told.startswith(": not an .npy file of plain numbers: ") and message in told


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_nothing_is_unpickled(cli, models, tmp_path, kind):
    path, mark = tmp_path / f"x.{kind}", tmp_path / "sprung"
    array = np.array([Trap(str(mark))], dtype=object)
    np.save(path, array, allow_pickle=True) if kind == "npy" else np.savez(path, input=array)
    assert "Object arrays cannot be loaded" in refused(cli, models / "ids.lstm", path)
    np.load(path, allow_pickle=True)["input" if kind == "npz" else ...]
    assert mark.exists()                        # the trap works, so its silence above means something


@pytest.mark.parametrize(("raw", "message"), [
    (b"", "not a zip file"),
    (made(("input.npy", GOOD))[:-30], "not a zip file"),
    (made(("input.npy", GOOD)).replace(GOOD[-24:], b"\2" * 24), "Bad CRC-32"),
    (made(("input.npy", GOOD[:-4])), "EOF: reading array data, expected 24 bytes got 20"),
])
def test_npz(cli, models, tmp_path, raw, message):
    path = tmp_path / "x.npz"
    path.write_bytes(raw)
    told = refused(cli, models / "ids.lstm", path)
    assert told.startswith(": not an .npz file of plain numbers: ") and message in told


@pytest.mark.parametrize(("member", "told"), [("input.npy", "input"), ("readme.txt", "readme.txt")])
def test_npz_members_that_are_no_arrays(cli, models, tmp_path, member, told):
    path = tmp_path / "x.npz"
    path.write_bytes(made((member, b"hello")))
    assert refused(cli, models / "ids.lstm", path) == f": its member {told!r} is no array"


def test_npz_arrays_go_by_the_inputs_names(cli, models, tmp_path):
    np.savez(tmp_path / "x.npz", tokens=np.ones((1, 2), np.int32))
    ended = cli("predict", models / "ids.lstm", tmp_path / "x.npz")
    assert ended.code == 1 and "inputs must be named input; got tokens" in ended.err


def test_a_line_that_never_ends(monkeypatch):
    """Such as /dev/zero gives: it is not read to its end, which never comes."""
    from lstm_engine.cli import csv_text

    class Endless(io.StringIO):
        def readline(self, size=-1):
            assert 0 < size < 2000, "an endless line is asked for"
            return "0" * size

    monkeypatch.setattr(csv_text, "MAX_LINE", 1000)
    with pytest.raises(le.LstmEngineError, match="f.csv, line 1: more than 1,000 characters in one line"):
        csv_text.read_table(Endless(), "f.csv", csv_text.CsvOptions())
