"""lstm-engine predict: every way in and out gives what Model.predict gives."""

from __future__ import annotations

import csv
import io
import json
import os
import sys

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.cli import predict as predict_module
from lstm_engine.graph import Embedding, Graph, Operator, Pool, Reading, Value

IDS = [[1, 2, 3], [6], [0, 5]]


def numbers(text: str, leading: int) -> np.ndarray:
    """The numbers of a CSV, its heading and `leading` columns left out."""
    return np.array([row[leading:] for row in list(csv.reader(io.StringIO(text)))[1:]], dtype=np.float32)


@pytest.fixture
def ids_csv(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in IDS))
    return path


def test_rows_of_ids_give_rows_of_steps(cli, models, ids_csv):
    ended = cli("predict", models / "ids.lstm", ids_csv)
    expected = le.load(models / "ids.lstm").predict([np.array(row) for row in IDS])
    assert ended.code == 0
    assert ended.err.startswith(f"lstm-engine: {ids_csv}: read 3 sequences of 1 to 3 ids\n")
    rows = list(csv.reader(io.StringIO(ended.out)))
    assert rows[0] == ["sequence", "step", "output_0", "output_1"]
    assert [row[:2] for row in rows[1:]] == [[str(i), str(t)] for i, row in enumerate(IDS) for t in range(len(row))]
    # Every printed number reads back as the very float32.
    np.testing.assert_array_equal(numbers(ended.out, 2), np.concatenate(expected))


def test_stdin(program, models):
    ended = program("predict", models / "ids.lstm", "-", stdin=b"\xef\xbb\xbf1,2,3\r\n6\r\n0,5\r\n\r\n")
    assert ended.code == 0 and ended.err.startswith("lstm-engine: stdin: read 3 sequences of 1 to 3 ids\n")
    expected = le.load(models / "ids.lstm").predict([np.array(row) for row in IDS])
    np.testing.assert_array_equal(numbers(ended.out, 2), np.concatenate(expected))


@pytest.fixture
def sentiment(tmp_path):
    """A model that takes texts, saved."""
    reading = Reading(("bad", "good"), 2, 1, 0, lowercase=True, punctuation="drop", split="whitespace")
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    nodes = (Embedding(name="e", inputs=("words",), outputs=("y",), table=table),
             Pool(name="p", inputs=("y",), outputs=("z",), kind="mean"))
    model = le.Model(Graph((Value("words", ("batch", "time"), "int64", reading),), nodes, ("z",)))
    model.save(tmp_path / "sentiment.lstm")
    return tmp_path / "sentiment.lstm"


def test_a_text_a_line(cli, program, sentiment, tmp_path):
    path = tmp_path / "reviews.txt"
    path.write_bytes("\ufeffGood, good!\r\nso bad\n\nx".encode())
    expected = le.load(sentiment).predict(["good good", "so bad", "", "x"])
    for ended in (cli("predict", sentiment, path), program("predict", sentiment, "-", stdin=path.read_bytes())):
        assert ended.code == 0
        np.testing.assert_array_equal(numbers(ended.out, 1), expected)
    np.savez(tmp_path / "reviews.npz", words=np.array(["good good", "so bad", "", "x"]))
    ended = cli("predict", sentiment, tmp_path / "reviews.npz")
    np.testing.assert_array_equal(numbers(ended.out, 1), expected)
    assert "stdin: read 4 texts, one a line" in program("predict", sentiment, "-", stdin=path.read_bytes()).err
    (tmp_path / "ids.csv").write_text("3,3\n")
    np.testing.assert_array_equal(numbers(cli("predict", sentiment, tmp_path / "ids.csv").out, 1), [[6, 7]])


def test_inspect_says_how_texts_are_read(cli, sentiment):
    assert cli("inspect", sentiment).out.count("takes texts, too") == 1
    given, = json.loads(cli("inspect", sentiment, "--json").out)["inputs"]
    assert given["name"] == "words" and given["texts"]["vocabulary"] == 2 and given["texts"]["split"] == "whitespace"


def test_texts_for_a_model_that_takes_none(cli, models, sentiment, tmp_path):
    path = tmp_path / "reviews.txt"
    path.write_bytes(b"good\n\xff\n")
    ended = cli("predict", models / "ids.lstm", path)
    assert ended.code == 2 and "a text a line is for a model of one input that takes one text a row" in ended.err
    ended = cli("predict", sentiment, path)
    assert ended.code == 1 and "not UTF-8 text" in ended.err
    path.write_bytes(b"")
    ended = cli("predict", sentiment, path)
    assert ended.code == 1 and "no texts: expected a text a line" in ended.err


@pytest.mark.parametrize("shape", [("batch",), ("batch", 1), ("batch", 2)])
def test_a_token_a_line(cli, program, tmp_path, shape):
    """Of texts that are tokens one a row may stand on a line; of rows of two the ids come as CSV."""
    node = Operator(name="e", op_type="Gather", inputs=("", "words"), outputs=("y",),
                    constants={0: np.arange(8, dtype=np.float32).reshape(4, 2)})
    reading = Reading(("good", "bad"), first=2, outside=1)
    model = le.Model(Graph((Value("words", shape, "int64", reading),), (node,), ("y",)))
    model.save(tmp_path / "m.lstm")
    if shape == ("batch", 2):
        ended = program("predict", tmp_path / "m.lstm", "-", stdin=b"2,3\n")
        np.testing.assert_array_equal(numbers(ended.out, 2), [[4, 5], [6, 7]])
        (tmp_path / "x.txt").write_text("good\n")
        assert "one text a row" in cli("predict", tmp_path / "m.lstm", tmp_path / "x.txt").err
        return
    ended = program("predict", tmp_path / "m.lstm", "-", stdin=b"good\nodd\n")
    np.testing.assert_array_equal(numbers(ended.out, len(shape)), [[4, 5], [2, 3]])


def test_steps_of_named_sequences(cli, models, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('name,a,b\nnorth,1,2\nnorth,3,4e-1\n"so,uth",-1,nan\n')
    ended = cli("predict", models / "numbers.lstm", path)
    model = le.load(models / "numbers.lstm")
    expected = model.predict([np.array([[1, 2], [3, 0.4]]), np.array([[-1, np.nan]])])
    assert ended.code == 0
    rows = list(csv.reader(io.StringIO(ended.out)))
    assert rows[0] == ["sequence", "output"] and [row[0] for row in rows[1:]] == ["north", "so,uth"]
    np.testing.assert_array_equal(numbers(ended.out, 1), expected)


def test_steps_without_a_name_are_one_sequence(cli, models, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("1,2\n3,4\n")
    ended = cli("predict", models / "numbers.lstm", path)
    assert ended.code == 0
    np.testing.assert_array_equal(numbers(ended.out, 1), le.load(models / "numbers.lstm").predict([[[1, 2], [3, 4]]]))


@pytest.mark.parametrize("extra", [[], ["--batch-size", "1"], ["--threads", "1"], ["--gemm", "blas"]])
def test_npy_in_and_out(cli, models, tmp_path, extra):
    x = np.random.default_rng(1).standard_normal((5, 7, 2))
    np.save(tmp_path / "x.npy", x)
    ended = cli("predict", models / "numbers.lstm", tmp_path / "x.npy", "-o", tmp_path / "y.npy", *extra)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    y = np.load(tmp_path / "y.npy")
    # With a BLAS the order of the sums is its own: a few float32 roundings of values below 1.
    expected = le.load(models / "numbers.lstm").predict(x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 if "blas" in extra else 0)


def test_dtype(cli, models, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((1, 2, 2)))
    ended = cli("predict", models / "numbers.lstm", tmp_path / "x.npy", "--dtype", "float64", "-o", tmp_path / "y.npy")
    assert ended.code == 0
    assert np.load(tmp_path / "y.npy").dtype == np.float64


def test_several_inputs_and_outputs_by_name(cli, models, tmp_path):
    given = {"x": np.ones((2, 3, 2), np.float32), "h0": np.full((2, 4), 0.5, np.float32)}
    np.savez(tmp_path / "in.npz", **given)
    ended = cli("predict", models / "two.lstm", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert ended.code == 0
    expected = le.load(models / "two.lstm").predict(given)
    with np.load(tmp_path / "out.npz") as out:
        assert set(out.files) == {"y", "h"}
        for name, array in expected.items():
            np.testing.assert_array_equal(out[name], array)


def test_several_outputs_need_an_npz(cli, models, tmp_path):
    ended = cli("predict", models / "two.lstm", tmp_path / "in.npz")
    assert ended.code == 2 and "the model has 2 outputs (y, h): give -o OUT.npz" in ended.err


@pytest.mark.parametrize("name", ["file", "/y", "a/b:0", "a..b"])
def test_outputs_of_any_name_can_be_written(cli, tmp_path, name):
    node = le.graph.Dense(name="d", inputs=("x",), outputs=(name,), kernel=np.ones((2, 1), np.float32))
    le.Model(le.graph.Graph((le.graph.Value("x", ("batch", 2)),), (node,), (name,))).save(tmp_path / "m.lstm")
    (tmp_path / "x.csv").write_text("1,2\n")
    assert cli("predict", tmp_path / "m.lstm", tmp_path / "x.csv", "-o", tmp_path / "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as out:
        assert out.files == [name] and out[name] == 3


@pytest.mark.parametrize("way", ["list", "npy", "npz"])
def test_lengths(cli, models, tmp_path, way):
    x, lengths = np.ones((3, 6, 2), np.float32), np.array([6, 0, 4])
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "lengths.npy", lengths)
    np.savez(tmp_path / "x.npz", input=x, lengths=lengths)
    argv = {"list": ["x.npy", "--lengths", "6,0,4"], "npy": ["x.npy", "--lengths", str(tmp_path / "lengths.npy")],
            "npz": ["x.npz"]}[way]
    ended = cli("predict", models / "numbers.lstm", tmp_path / argv[0], *argv[1:])
    assert ended.code == 0
    np.testing.assert_array_equal(numbers(ended.out, 1), le.load(models / "numbers.lstm").predict(x, lengths=lengths))


def test_csv_output_ends_where_each_sequence_does(cli, models, ids_csv, tmp_path):
    assert cli("predict", models / "ids.lstm", ids_csv, "-o", tmp_path / "y.csv").code == 0
    assert (tmp_path / "y.csv").read_text() == cli("predict", models / "ids.lstm", ids_csv).out
    assert cli("predict", models / "ids.lstm", ids_csv, "-o", tmp_path / "y.npy").code == 0
    padded = np.load(tmp_path / "y.npy")
    assert padded.shape == (3, 3, 2) and (padded[1, 1:] == 0).all() and (padded[0] > 0).all()


def test_a_checkpoint_is_converted_on_the_way(cli, checkpoint, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((1, 4, 1), np.float32))
    ended = cli("predict", checkpoint, tmp_path / "x.npy", "--pool", "last")
    assert ended.code == 0
    with pytest.warns(le.AssumptionWarning):
        expected = le.convert(checkpoint, pool="last").predict(np.ones((1, 4, 1)))
    np.testing.assert_array_equal(numbers(ended.out, 1), expected)


@pytest.mark.parametrize(("argv", "message"), [
    (["x.tsv"], "INPUT 'x.tsv': expected a name that ends in .npy, .npz, .csv or .txt, or - for CSV or texts on stdin"),
    (["x.txt"], "INPUT 'x.txt': a text a line is for a model of one input that takes one text a row; lstm-engine"),
    (["x.npy", "-o", "y.txt"], "--output y.txt: the name must end in .npy, .npz or .csv"),
    (["x.npy", "--threads", "0"], "argument --threads: '0' is not a whole number of at least 1"),
    (["x.npy", "--threads", "2000"], "'2000' is more than 1024 threads"),
    (["x.npy", "--batch-size", "two"], "argument --batch-size: 'two' is not a whole number of at least 1"),
    (["x.npy", "--pool", "last"], "--pool is for checkpoints"),
    ([], "the following arguments are required: INPUT"),
])
def test_wrong_usage(cli, models, argv, message):
    ended = cli("predict", models / "numbers.lstm", *argv)
    assert ended.code == 2 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


def test_lengths_twice_and_lengths_that_are_none(cli, models, ids_csv, tmp_path):
    ended = cli("predict", models / "ids.lstm", ids_csv, "--lengths", "1,1,1")
    assert ended.code == 2 and "the sequences in the input have their own" in ended.err
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.int32))
    ended = cli("predict", models / "ids.lstm", tmp_path / "x.npy", "--lengths", "1;2")
    assert ended.code == 2 and "--lengths '1;2': expected whole numbers" in ended.err
    ended = cli("predict", models / "ids.lstm", tmp_path / "x.npy", "--lengths", "1,4")
    assert ended.code == 1 and "lengths[1] is 4; expected 0 to 3" in ended.err


def test_the_input_is_not_written_over(cli, models, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((1, 2, 2)))
    before = (tmp_path / "x.npy").read_bytes()
    ended = cli("predict", models / "numbers.lstm", tmp_path / "x.npy", "-o", tmp_path / "x.npy")
    assert ended.code == 2 and "would replace" in ended.err and (tmp_path / "x.npy").read_bytes() == before


@pytest.mark.parametrize(("x", "message"), [
    (np.ones((2, 3)), "input 'input': expected whole numbers (token ids)"),
    (np.full((2, 3), 7), "token id 7 at row 0, step 0 is outside the vocabulary of 7"),
    (np.ones(3, np.int32), "input 'input': expected shape [batch, time], got [3]"),
])
def test_arrays_that_do_not_fit_the_model(cli, models, tmp_path, x, message):
    np.save(tmp_path / "x.npy", x)
    ended = cli("predict", models / "ids.lstm", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    assert ended.code == 1 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize(("failure", "code"), [(OSError(28, "No space left on device"), 1),
                                               (KeyboardInterrupt(), 130)])
@pytest.mark.parametrize("name", ["y.npy", "y.npz", "y.csv"])
def test_a_write_that_fails_leaves_the_output_as_it_was(cli, models, ids_csv, tmp_path, monkeypatch, name, failure,
                                                        code):
    (tmp_path / name).write_bytes(b"what was there")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    ended = cli("predict", models / "ids.lstm", ids_csv, "-o", tmp_path / name)
    assert ended.code == code and ended.out == "" and ended.err.count("lstm-engine: error: ") == 1
    assert (tmp_path / name).read_bytes() == b"what was there"
    assert sorted(os.listdir(tmp_path)) == sorted(["ids.csv", name])


def test_ctrl_c_in_a_run(cli, models, ids_csv, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(le.Model, "predict", interrupted)
    ended = cli("predict", models / "ids.lstm", ids_csv, "-o", tmp_path / "y.npy")
    assert ended.code == 130 and not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize(("terminal", "least", "shown"), [(True, 0, True), (True, 1e18, False), (False, 0, False)])
def test_a_bar_is_for_long_jobs_on_a_terminal(cli, models, ids_csv, monkeypatch, terminal, least, shown):
    monkeypatch.setattr(predict_module, "LONG_JOB", least)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    ended = cli("predict", models / "ids.lstm", ids_csv, "--batch-size", "1")
    assert ended.code == 0 and ("3/3" in ended.err) == shown and ("[" in ended.err) == shown


def test_an_error_stands_below_the_bar(cli, models, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_module, "LONG_JOB", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    (tmp_path / "x.csv").write_text("1\n2\n7\n")
    ended = cli("predict", models / "ids.lstm", tmp_path / "x.csv", "--batch-size", "1", "--rows", "sequences")
    assert ended.code == 1 and "2/3\nlstm-engine: error: token id 7" in ended.err


def test_a_folder_that_is_not_there_is_told_before_the_work(cli, models, tmp_path):
    ended = cli("predict", models / "ids.lstm", tmp_path / "not-looked-at.npy", "-o", tmp_path / "no" / "y.npy")
    assert ended.code == 1 and f"there is no folder {tmp_path / 'no'}" in ended.err
