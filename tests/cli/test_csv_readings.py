"""How a CSV is read: what is plain, as the exact arrays; what has two readings, refused with the options to type."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import graph as g
from lstm_engine.cli.arguments import UsageError
from lstm_engine.cli.csv_sequences import read_csv
from lstm_engine.cli.csv_text import CsvOptions
from lstm_engine.graph.nodes import DTYPES

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
ONE, TWO = g.Value("x", ("batch", "time", 1)), g.Value("x", ("batch", "time", 2))
IDS = g.Value("x", ("batch", "time"), "int32")
SERIES = g.Value("x", ("batch", "time"))
VECTOR = g.Value("x", ("batch", 2))


def read(text: str, value: g.Value, **options):
    """[sequences], labels, and what was told, without the name of the file."""
    given = read_csv(io.StringIO(text, newline=""), value, "f.csv", CsvOptions(**options), None)
    array = given.arrays["x"]
    ends = [len(row) for row in array] if given.lengths is None else given.lengths
    assert given.told.startswith("f.csv: read ")
    return [row[:end].tolist() for row, end in zip(array, ends, strict=True)], given.labels, \
        given.told.removeprefix("f.csv: read ")


@pytest.mark.parametrize(("text", "value", "options", "sequences", "labels", "told"), [
    # an index: one sequence
    (",value\n0,0.5\n1,0.7\n", ONE, {}, [[[0.5], [0.7]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 left out as an index; heading: ,value"),
    (",0\n0,5\n1,7\n", ONE, {}, [[[5], [7]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 left out as an index; heading: ,0"),
    (",0,1\n0,5,6\n1,7,8\n", TWO, {}, [[[5, 6], [7, 8]]], None,
     "1 sequence of 2 steps, 2 features; column 1 left out as an index; heading: ,0,1"),
    ("Unnamed: 0,a\n3,5\n7,6\n", ONE, {}, [[[5], [6]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 (Unnamed: 0) left out as an index; heading: Unnamed: 0,a"),
    ('"Month","Passengers"\r\n"1949-01",112\r\n"1949-02",118\r\n', ONE, {}, [[[112], [118]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 (Month) left out as an index; heading: Month,Passengers"),
    ("2014-07-01 00:00:00,1\n2014-07-01 00:30:00,2\n", ONE, {}, [[[1], [2]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 left out as an index"),
    ("2014-07-01 00:00:00,0\n2014-07-01 00:30:00,0.5\n", ONE, {}, [[[0], [0.5]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 left out as an index"),
    ("t,v\n2014-07-01T00:00:00Z,1\n", ONE, {}, [[[1]]], None,
     "1 sequence of 1 step, 1 feature; column 1 (t) left out as an index; heading: t,v"),
    ("id,v\n9,1\n4,2\n", ONE, {"index": True}, [[[1], [2]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 (id) left out as an index; heading: id,v"),
    # names
    ("north,1\nnorth,2\nsouth,3\n", ONE, {}, [[[1], [2]], [[3]]], ["north", "south"],
     "2 sequences of 1 to 2 steps, 1 feature; names from column 1"),
    ("site,v\nnorth,1\nsouth,2\n", ONE, {"name_column": "site"}, [[[1]], [[2]]], ["north", "south"],
     "2 sequences of 1 step, 1 feature; names from column 1 (site); heading: site,v"),
    ("1,10\n1,20\n2,30\n", ONE, {"name_column": "1"}, [[[10], [20]], [[30]]], ["1", "2"],
     "2 sequences of 1 to 2 steps, 1 feature; names from column 1"),
    ("5,a\n6,a\n7,b\n", ONE, {"name_column": "2"}, [[[5], [6]], [[7]]], ["a", "b"],
     "2 sequences of 1 to 2 steps, 1 feature; names from column 2"),
    (",site,v\n0,a,1\n1,a,2\n2,b,3\n", ONE, {"index": True, "name_column": "site"}, [[[1], [2]], [[3]]], ["a", "b"],
     "2 sequences of 1 to 2 steps, 1 feature; names from column 2 (site); column 1 left out as an index; "
     "heading: ,site,v"),
    ('"so, uth",1\n"so, uth ",2\n x,3\n', ONE, {}, [[[1], [2]], [[3]]], ["so, uth", "x"],
     "2 sequences of 1 to 2 steps, 1 feature; names from column 1"),
    # columns by choice
    ("site,t,v,note\na,1,10,x\na,2,20,\n", ONE, {"name_column": "site", "columns": ("v",)}, [[[10], [20]]], ["a"],
     "1 sequence of 2 steps, 1 feature; names from column 1 (site); features from column 3 (v); "
     "heading: site,t,v,note"),
    ("1,2,3\n4,5,6\n", TWO, {"columns": ("3", "1")}, [[[3, 1], [6, 4]]], None,
     "1 sequence of 2 steps, 2 features; features from column 3, column 1"),
    # no column before the numbers
    ("1\n2\n3\n", ONE, {}, [[[1], [2], [3]]], None, "1 sequence of 3 steps, 1 feature"),
    ("a,b\n1, 2\n -3e-1 ,+.5\n", TWO, {}, [[[1, 2], [-0.3, 0.5]]], None,
     "1 sequence of 2 steps, 2 features; heading: a,b"),
    ("2019,2020\n5,6\n", TWO, {"header": True}, [[[5, 6]]], None,
     "1 sequence of 1 step, 2 features; heading: 2019,2020"),
    (",b\n0,5\n", TWO, {"index": False}, [[[0, 5]]], None, "1 sequence of 1 step, 2 features; heading: ,b"),
    # European
    ("0,5;1,5\n-7;2,25e1\n", TWO, {"sep": ";", "decimal": ","}, [[[0.5, 1.5], [-7, 22.5]]], None,
     "1 sequence of 2 steps, 2 features"),
    ("Datum;Wert\n2020-01-01;0,5\n2020-01-02;1\n", ONE, {"sep": ";", "decimal": ","}, [[[0.5], [1]]], None,
     "1 sequence of 2 steps, 1 feature; column 1 (Datum) left out as an index; heading: Datum,Wert"),
    ("1\t2\n3\t4\n", TWO, {"sep": "\t"}, [[[1, 2], [3, 4]]], None, "1 sequence of 2 steps, 2 features"),
    ("  1   2\n 3 4\n", TWO, {"sep": " "}, [[[1, 2], [3, 4]]], None, "1 sequence of 2 steps, 2 features"),
    ("1,000\n", TWO, {"sep": ","}, [[[1, 0]]], None, "1 sequence of 1 step, 2 features"),
    # missing values
    ("1,\n,4\n", TWO, {"missing": True}, [[[1, None], [None, 4]]], None, "1 sequence of 2 steps, 2 features"),
    ("nan,-inf\nNA,Infinity\n", TWO, {"missing": True}, [[[None, -np.inf], [None, np.inf]]], None,
     "1 sequence of 2 steps, 2 features"),
    # rows that are sequences
    ("4,8,15\n16\n", IDS, {}, [[4, 8, 15], [16]], None, "2 sequences of 1 to 3 ids"),
    ("4\n8\n15\n", IDS, {"rows": "steps"}, [[4, 8, 15]], None, "1 sequence of 3 steps, 1 id a step"),
    ("4\n8\n15\n", IDS, {"rows": "sequences"}, [[4], [8], [15]], None, "3 sequences of 1 id"),
    ("word,id\nthe,4\nthe,8\na,15\n", IDS, {"rows": "steps"}, [[4, 8], [15]], ["the", "a"],
     "2 sequences of 1 to 2 steps, 1 id a step; names from column 1 (word); heading: word,id"),
    (",0,1\n0,5,6\n1,7,8\n", IDS, {}, [[5, 6], [7, 8]], None,
     "2 sequences of 2 ids; column 1 left out as an index; heading: ,0,1"),
    (",t0,t1\n0,5,6\n4,7,8\n", IDS, {}, [[5, 6], [7, 8]], None,
     "2 sequences of 2 ids; column 1 left out as an index; heading: ,t0,t1"),
    ("0,1\n5,6\n", IDS, {"header": True}, [[5, 6]], None, "1 sequence of 2 ids; heading: 0,1"),
    ("0,5\n1,6\n", IDS, {"index": False}, [[0, 5], [1, 6]], None, "2 sequences of 2 ids"),
    ("r1,4,8\nr2,15\n", IDS, {"name_column": "1"}, [[4, 8], [15]], ["r1", "r2"],
     "2 sequences of 1 to 2 ids; names from column 1"),
    ("0.5,1\n2\n", SERIES, {}, [[0.5, 1], [2]], None, "2 sequences of 1 to 2 steps"),
    ("0.5,1\n2\n", ONE, {"rows": "sequences"}, [[[0.5], [1]], [[2]]], None, "2 sequences of 1 to 2 steps"),
    # vectors
    ("a,1,2\nb,3,4\n", VECTOR, {}, [[1, 2], [3, 4]], ["a", "b"], "2 rows of 2 numbers; names from column 1"),
    ("2020-01-01,1,2\n2020-01-02,3,4\n", VECTOR, {}, [[1, 2], [3, 4]], ["2020-01-01", "2020-01-02"],
     "2 rows of 2 numbers; names from column 1"),
    (",a,b\n0,1,2\n1,3,4\n", VECTOR, {}, [[1, 2], [3, 4]], None,
     "2 rows of 2 numbers; column 1 left out as an index; heading: ,a,b"),
])
def test_readings(text, value, options, sequences, labels, told):
    found, found_labels, found_told = read(text, value, **options)
    if "missing" in options:
        found = [[[None if np.isnan(cell) else cell for cell in step] for step in row] for row in found]
    assert (found, found_labels, found_told) == (sequences, labels, told)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if "int" in dtype])
def test_ids_of_every_type(dtype):
    found, _, _ = read("4,8,15\n16\n", replace(IDS, dtype=dtype))
    assert found == [[4, 8, 15], [16]]


@pytest.mark.parametrize(("text", "value", "options", "typed"), [
    ("1,000\n2,500\n", ONE, {}, ["--index (1 sequence of 2 steps)", "--name-column 1 (2 sequences of 1 step)",
                                 "--sep ';' --decimal ,", "write 1000 for 1,000"]),
    ("102,826\n", ONE, {}, ["--index", "--name-column 1", "--sep ';' --decimal ,"]),
    ("0,0.5\n1,0.7\n", ONE, {}, ["--index", "--name-column 1"]),
    ("id,v\n0,0.5\n1,0.7\n", ONE, {}, ["column 1 (id) holds numbers", "--index", "--name-column 1"]),
    ("1,10\n1,20\n2,30\n", ONE, {}, ["--index (1 sequence of 3 steps)",
                                     "--name-column 1 (2 sequences of 1 to 2 steps)"]),
    ("a,1\nb,2\n", ONE, {}, ["--index (1 sequence of 2 steps)", "--name-column 1 (2 sequences of 1 step)"]),
    ("t,v\n1/2/2020,1\n1/2/2020,2\n2/2/2020,3\n", ONE, {}, ["look like dates", "--index", "--name-column 1"]),
    ("2020-01-02,1\n2020-01-01,2\n", ONE, {}, ["dates that do not rise", "--index", "--name-column 1"]),
    ("2020-01-01,1\n2020-01-01,2\n2020-01-02,3\n", ONE, {}, ["dates that do not rise", "--index", "--name-column 1"]),
    (",v\n0,1\n0,2\n1,3\n", ONE, {}, ["--index", "--name-column 1"]),
    ("north;1,5\nnorth;1,7\n", ONE, {}, ["--sep ';'", "--sep ,"]),
    ("0,5;1,5\n0,7;2,1\n", TWO, {}, ["line 1 is '0,5;1,5'", "--sep ';'"]),
    ("1,000\n2,500\n", TWO, {}, ["line 1, column 2 is '000'", "--sep ,", "write 1000"]),
    ("1,000.5\n2,500\n", TWO, {}, ["line 1, column 2 is '000.5'"]),
    ("4,1,000\n5\n", IDS, {}, ["line 1, column 3 is '000'", "--sep ,"]),
    ("0\n0.5\n0.25\n", ONE, {}, ["--header", "--no-header"]),
    ("0,1\n0.5,0.25\n", TWO, {}, ["--header", "--no-header"]),
    ("site,2019,2020\nnorth,5,9\nnorth,7,1\n", TWO, {}, ["--header", "--no-header"]),
    ("1949-01,broken\n1949-02,118\n", ONE, {}, ["line 1 has no number", "--header"]),
    ("north,broken\nnorth,118\n", ONE, {}, ["line 1 has no number", "--header"]),
    (",b\n0,5\n", TWO, {}, ["as an index of pandas", "--no-index"]),
    ("4\n8\n15\n", IDS, {}, ["--rows steps (1 sequence of 3 ids)", "--rows sequences (3 sequences of 1 id)"]),
    ("0.4\n0.8\n", SERIES, {}, ["--rows steps (1 sequence of 2 numbers)", "--rows sequences"]),
    ("0,5,6\n1,7,8\n", IDS, {}, ["--index", "--no-index"]),
    ("1,5,6\n2,7,8\n", IDS, {}, ["--index", "--no-index"]),
    ("0,1,2\n5,6,7\n", IDS, {}, ["--header", "--no-header"]),
    ("1,2,3\n", VECTOR, {}, ["--index", "--name-column 1"]),
])
def test_what_may_be_read_in_several_ways_is_asked_about(text, value, options, typed):
    with pytest.raises((UsageError, le.FormatError)) as raised:
        read(text, value, **options)
    for part in typed:
        assert part in str(raised.value), str(raised.value)


@pytest.mark.parametrize(("text", "value", "options", "message"), [
    ("Month,Passengers\n", ONE, {}, "f.csv: holds a heading (line 1) and no rows"),
    ("a,1\na,\n", ONE, {}, "line 2, column 2: expected a number, got '': a missing value; type --nan mask"),
    ("a,1\na,NA\n", ONE, {}, "got 'NA': a missing value; type --nan mask to leave its step out, or --nan propagate"),
    (",1\n", ONE, {"name_column": "1"}, "line 1, column 1: the name of the sequence is empty"),
    ("1949-01,?\n1949-02,118\n", ONE, {}, "line 1, column 2: expected a number, got '?'"),
    ("v\n1_000\n", ONE, {}, "line 2, column 1: expected a number, got '1_000'"),
    ("v\n１\n", ONE, {}, "expected a number, got '１'"),
    ("v\n0x1\n", ONE, {}, "expected a number, got '0x1'"),
    ("v\n1e999\n", ONE, {}, "'1e999' is beyond the largest float64"),
    ('v\n"1,000"\n', ONE, {}, "got '1,000'; if the comma is the decimal mark, type --decimal , and the --sep of the "
                              "file; thousands separators are not read"),
    ("1.234\n", ONE, {"sep": ";", "decimal": ","}, "got '1.234'; with --decimal , a point is no part of a number"),
    ("1.234,5\n", ONE, {"sep": ";", "decimal": ","}, "got '1.234,5'"),
    ("t;v\n5;6\n", ONE, {}, "got '5;6'; if ';' stands between the fields, type --sep ';'"),
    ("t\tv\n5\t6\n", ONE, {}, "if tab stands between the fields, type --sep tab"),
    ("a,b,c\n1,2,3\n", ONE, {}, "line 2: expected 1 number, or these and the name of their sequence or an index before "
                                "them; got 3 fields; --columns picks those of the features among a,b,c"),
    ("0.1,0.2,0.3\n", ONE, {}, "--rows sequences reads a row as a sequence of its own"),
    ("a,1,2\na,1\n", TWO, {}, "line 2: expected 3 fields, as line 1 has; got 2"),
    ("v\n2020-01-01,5\n", ONE, {}, "line 2: expected 1 field, as the heading has; got 2"),
    ("a,1\na,2\nb,1\na,3\n", ONE, {}, "line 4: the steps of sequence 'a' must stand together"),
    ("a,b\n1,2\n", TWO, {"name_column": "c"}, "--name-column 'c': the heading has a, b"),
    ("1,2\n1,2\n", ONE, {"name_column": "c"}, "--name-column 'c': there is no heading; give its number from 1"),
    ("a,a,v\nx,y,2\n", ONE, {"name_column": "a", "columns": ("v",)}, "--name-column 'a': two columns are called so"),
    ("1,2\n1,2\n", ONE, {"name_column": "3"}, "--name-column 3: there are columns 1 to 2"),
    ("2,1\n1,2\n", ONE, {"name_column": "1", "header": True}, "--name-column 1: the heading calls column 2 so"),
    ("1,2\n1,2\n", ONE, {"name_column": "1", "index": True}, "--index and --name-column mean the same column"),
    ("1,2\n", TWO, {"columns": ("1",)}, "--columns gives 1, the model takes 2 numbers a row"),
    ("1,2\n", IDS, {"columns": ("1",)}, "--columns: a row is a sequence here"),
    ("1,2\n", TWO, {"rows": "sequences"}, "a step of input 'x' has 2 numbers: a row is a step"),
    ("1,2\n", VECTOR, {"rows": "steps"}, "--rows: input 'x' has no steps"),
    ("r1,4,8\n", IDS, {}, "got 'r1'; names of sequences need --name-column 1, a heading --header, rows that are steps "
                          "--rows steps"),
    ("v,t\n5,2020-01-01\n6,2020-01-02\n", ONE, {}, "line 2, column 2: expected a number, got '2020-01-01'; "
                                                    "--columns picks those of the features"),
    ("t,v\n[s],[V]\n0,1\n", ONE, {}, "line 2, column 2: expected a number, got '[V]'"),
    ("4;8\n", IDS, {}, "got '4;8'; if ';' stands between the fields, type --sep ';'"),
    ("4,,8\n", IDS, {}, "line 1, column 2: expected a whole number, got ''"),
    ("4,8\n", IDS, {"name_column": "2", "index": True, "rows": "steps"}, "expected 1 number and the name"),
])
def test_what_cannot_be_read(text, value, options, message):
    with pytest.raises((UsageError, le.FormatError)) as raised:
        read(text, value, **options)
    assert message in str(raised.value)


# ---- the program --------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """A model of one feature: [batch, time, 1] -> [batch, time, 1]."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("one") / "one.lstm"
    le.Model([le.LSTM(rng.normal(size=(1, 8, 1)) / 400, rng.normal(size=(1, 8, 2))), le.Dense(np.ones((2, 1)))],
             dtype="float32").save(path)
    return path


@pytest.mark.parametrize(("name", "steps", "heading"), [
    ("airline-passengers", 144, "Month,Passengers"), ("daily-min-temperatures", 3650, "Date,Temp"),
    ("monthly-sunspots", 2820, "Month,Sunspots")])
def test_series_of_others(cli, one, name, steps, heading):
    path = REAL / "ds_brownlee_ts" / f"{name}.csv"
    if not path.exists():
        pytest.skip("the real series are not here")
    ended = cli("predict", one, path)
    column = heading.split(",")[0]
    assert ended.code == 0
    assert ended.err == (f"lstm-engine: {path}: read 1 sequence of {steps:,} steps, 1 feature; column 1 ({column}) "
                         f"left out as an index; heading: {heading}\n")
    with open(path, encoding="utf-8") as file:
        values = [float(row[1]) for row in list(csv.reader(file))[1:]]
    right = le.load(one).predict(np.array(values)[None, :, None])
    rows = list(csv.reader(io.StringIO(ended.out)))[1:]
    np.testing.assert_array_equal(np.array([row[2] for row in rows], np.float32), right[0, :, 0])


def test_a_clock_that_was_put_back_is_asked_about(cli, one):
    path = REAL / "ds_nab" / "data" / "realKnownCause" / "machine_temperature_system_failure.csv"
    if not path.exists():
        pytest.skip("the real series are not here")
    ended = cli("predict", one, path)
    assert ended.code == 2 and ended.out == "" and "dates that do not rise" in ended.err
    ended = cli("predict", one, path, "--index")
    assert ended.code == 0 and "read 1 sequence of 22,695 steps, 1 feature" in ended.err


def test_what_is_asked_is_one_line_and_exit_code_2(cli, one, tmp_path):
    (tmp_path / "x.csv").write_text("1,000\n2,000\n")
    ended = cli("predict", one, tmp_path / "x.csv")
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1


@pytest.mark.parametrize(("argv", "message"), [
    (["--sep", "ab"], "'ab' is no character that may stand between fields"),
    (["--sep", "."], "'.' is no character that may stand between fields"),
    (["--columns", "1,,2"], "expected numbers from 1 or names of columns"),
    (["--columns", "1,1"], "each once"),
    (["--decimal", ","], "the fields are separated by it"),
    (["--pad", "0"], "'0' is not a whole number of at least 1"),
    (["--pad-side", "right"], "--pad-side needs the --pad LENGTH"),
    (["--pad-value", "0"], "--pad-value needs the --pad LENGTH"),
    (["--truncate", "right"], "--truncate needs the --pad LENGTH"),
    (["--pad", "3", "--lengths", "1"], "--lengths and --pad exclude each other"),
])
def test_wrong_usage(cli, one, tmp_path, argv, message):
    (tmp_path / "x.csv").write_text("1\n2\n")
    ended = cli("predict", one, tmp_path / "x.csv", *argv)
    assert ended.code == 2 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize("option", [["--index"], ["--sep", ";"], ["--pad", "4"]])
def test_options_of_csv_are_not_for_arrays(cli, one, tmp_path, option):
    np.save(tmp_path / "x.npy", np.ones((1, 2, 1)))
    ended = cli("predict", one, tmp_path / "x.npy", *option)
    assert ended.code == 2 and "is no CSV" in ended.err


@pytest.mark.parametrize("nan", ["propagate", "mask"])
def test_empty_cells(cli, one, tmp_path, nan):
    (tmp_path / "x.csv").write_text("t,v\n2020-01,1\n2020-02,\n2020-03,3\n")
    ended = cli("predict", one, tmp_path / "x.csv", "--nan", nan)
    assert ended.code == 0
    right = le.load(one).predict([[[1], [np.nan], [3]]], nan=nan)
    numbers = [float(row[2]) for row in list(csv.reader(io.StringIO(ended.out)))[1:]]
    np.testing.assert_array_equal(np.array(numbers, np.float32), np.array(right)[0, :, 0])
    assert cli("predict", one, tmp_path / "x.csv", "--nan", "error").code == 1


@pytest.mark.parametrize(("options", "length", "side", "truncate", "value"), [
    (["--pad", "5"], 5, "left", "left", 0), (["--pad", "2"], 2, "left", "left", 0),
    (["--pad", "longest"], None, "left", "left", 0),
    (["--pad", "5", "--pad-side", "right", "--pad-value", "6"], 5, "right", "left", 6),
    (["--pad", "2", "--truncate", "right"], 2, "left", "right", 0)])
def test_pad(cli, models, tmp_path, options, length, side, truncate, value):
    sequences = [[1, 2, 3], [6], [0, 5, 4, 4]]
    (tmp_path / "x.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in sequences))
    ended = cli("predict", models / "ids.lstm", tmp_path / "x.csv", *options)
    padded = le.pad_sequences(sequences, length, side=side, truncate=truncate, value=value)
    right = le.load(models / "ids.lstm").predict(padded)
    assert ended.code == 0 and f"padded to {padded.shape[1]} steps with {value} on the {side}" in ended.err
    assert ("cut on the " + truncate in ended.err) == (length == 2) and ended.err.count("\n") == 1
    rows = list(csv.reader(io.StringIO(ended.out)))[1:]
    assert [row[:2] for row in rows] == [[str(i), str(t)] for i in range(3) for t in range(padded.shape[1])]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], np.float32), right.reshape(-1, 2))


def test_pad_of_numbers_and_a_value_that_is_no_id(cli, models, tmp_path):
    (tmp_path / "x.csv").write_text("a,1,2\na,3,4\nb,5,6\n")
    ended = cli("predict", models / "numbers.lstm", tmp_path / "x.csv", "--pad", "3", "--pad-value", "-0.5")
    padded = np.array([[[-.5, -.5], [1, 2], [3, 4]], [[-.5, -.5], [-.5, -.5], [5, 6]]])
    right = le.load(models / "numbers.lstm").predict(padded)
    assert ended.code == 0
    assert [row.split(",")[0] for row in ended.out.split()[1:]] == ["a", "b"]
    numbers = [row.split(",")[1] for row in ended.out.split()[1:]]
    np.testing.assert_array_equal(np.array(numbers, np.float32), right[:, 0])
    (tmp_path / "ids.csv").write_text("1,2\n")
    ended = cli("predict", models / "ids.lstm", tmp_path / "ids.csv", "--pad", "3", "--pad-value", "0.5")
    assert ended.code == 2
    assert "--pad-value 0.5: the input is token ids, expected a whole number of 32 bits" in ended.err


def test_unequal_sequences_and_no_mask_are_told_once(cli, models, tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n3\n")
    assert "not every layer of the model has a mask" in cli("predict", models / "ids.lstm", tmp_path / "x.csv").err
    (tmp_path / "x.csv").write_text("1,2\n3,4\n")
    assert "mask" not in cli("predict", models / "ids.lstm", tmp_path / "x.csv").err


def time_first() -> le.Model:
    """x [time, batch, 1] -> [time, batch, 2], as torch exports with batch_first=False."""
    rng = np.random.default_rng(4)
    turn = {"perm": (1, 0, 2)}
    nodes = (g.Operator(name="in", inputs=("x",), outputs=("a",), op_type="Transpose", attributes=turn),
             g.LSTM(name="lstm", inputs=("a",), outputs=("b",), W=rng.normal(size=(1, 8, 1)).astype(np.float32),
                    R=rng.normal(size=(1, 8, 2)).astype(np.float32)),
             g.Operator(name="out", inputs=("b",), outputs=("y",), op_type="Transpose", attributes=turn))
    return le.Model(g.Graph((g.Value("x", ("time", "batch", 1)),), nodes, ("y",)))


def test_a_model_that_has_time_first(cli, tmp_path):
    model = time_first()
    model.save(tmp_path / "m.lstm")
    (tmp_path / "x.csv").write_text("a,1\na,2\na,3\nb,4\nb,5\n")
    ended = cli("predict", tmp_path / "m.lstm", tmp_path / "x.csv")
    right = [model.predict(np.array(own, np.float32)[:, None, None])[:, 0] for own in ([1, 2, 3], [4, 5])]
    rows = list(csv.reader(io.StringIO(ended.out)))[1:]
    assert ended.code == 0 and [row[:2] for row in rows] == [["a", "0"], ["a", "1"], ["a", "2"], ["b", "0"], ["b", "1"]]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], np.float32), np.concatenate(right))


def test_steps_of_another_axis_are_not_cut_at_the_lengths_of_the_input(cli, tmp_path):
    """A decoder's five steps after an encoder of unequal sequences."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = le.convert(keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(9, 3), layers.LSTM(4),
                                         layers.RepeatVector(5), layers.LSTM(2, return_sequences=True)]))
    model.save(tmp_path / "m.lstm")
    (tmp_path / "x.csv").write_text("1,2,3\n4\n")
    ended = cli("predict", tmp_path / "m.lstm", tmp_path / "x.csv")
    rows = list(csv.reader(io.StringIO(ended.out)))[1:]
    assert ended.code == 0 and [row[:2] for row in rows] == [[str(i), str(t)] for i in range(2) for t in range(5)]
    right = model.predict([np.array([1, 2, 3]), np.array([4])])
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], np.float32).reshape(2, 5, 2), np.array(right))
