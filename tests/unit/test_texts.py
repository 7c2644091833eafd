"""Texts in place of token ids: as Keras 2.15 and 3.8 read them (tools/make_keras_fixtures.py --texts), and refused."""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.format import load, save
from lstm_engine.graph import Embedding, Graph, Pool, Reading, Value

FOLDER = Path(__file__).parents[1] / "golden" / "keras"
ARCHIVES = sorted(FOLDER.glob("*-texts.zip"))
READING = Reading(("film", "good", "bad"), 2, 1, 0, lowercase=True, punctuation="drop", split="whitespace")
# An LSTM, a few dozen roundings of float32 of values below 1.
CLOSE = 2e-6


def graph(reading: Reading = READING, shape=("batch", "time"), pool=True) -> Graph:
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    nodes = [Embedding(name="e", inputs=("words",), outputs=("y",), table=table)]
    if pool:
        nodes.append(Pool(name="p", inputs=("y",), outputs=("z",), kind="mean"))
    return Graph((Value("words", shape, "int64", reading),), tuple(nodes), ("z" if pool else "y",))


def ids(given, reading=READING, shape=("batch", "time")) -> list:
    """The ids that a model looks up, by its first feature."""
    made = le.Model(graph(reading, shape, pool=False)).predict(given)
    return (np.asarray(made)[..., 0] / 2).astype(int).tolist()


@pytest.fixture(params=[f"{path.stem}/{name}" for path in ARCHIVES for name in ("model", "tutorial")])
def written(request, tmp_path):
    """A file that a version of Keras wrote, what goes in, and what came out there."""
    archive, name = request.param.split("/")
    with zipfile.ZipFile(FOLDER / f"{archive}.zip") as members:
        path = Path(members.extract(f"{name}.keras", tmp_path))
        with members.open(f"{name}.npz") as file:
            arrays = dict(np.load(file))
    return path, *[[arrays[f"{kind}{at}"] for at in range(len(arrays)) if f"{kind}{at}" in arrays] for kind in "xy"]


def test_there_are_files():
    assert [path.stem for path in ARCHIVES] == ["2.15.0-texts", "3.8.0-texts"]


def test_keras_reads_them_so(written, tmp_path):
    pytest.importorskip("h5py")
    path, given, wanted = written
    model = le.convert(path)
    model.save(tmp_path / "m.lstm")
    for each in (model, le.load(tmp_path / "m.lstm"), pickle.loads(pickle.dumps(model))):
        for texts in (given, [x.tolist() for x in given], [x.astype(object) for x in given],
                      [np.char.encode(x, "utf-8") for x in given]):
            made = each.predict(dict(zip(each.inputs, texts, strict=True)))
            outputs = list(made.values()) if isinstance(made, dict) else [made]
            assert len(outputs) == len(wanted)
            for name, ours, theirs in zip(each.outputs, outputs, wanted, strict=True):
                assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
                assert np.abs(ours - theirs).max(initial=0) <= CLOSE, name
    assert f"input {next(iter(model.inputs))!r} takes texts, too: lowercase, without punctuation" in model.summary()


def test_ids_and_texts_are_both_taken():
    model = le.Model(graph())
    by_ids = model.predict(np.array([[3, 2], [1, 0]]))
    for texts in (["good FILM!", "other"], {"words": ["good film", "other"]}, np.array([["Good-film", ""]]).T[:1]):
        assert model.predict(texts).shape[1] == 2
    assert np.array_equal(model.predict(["good FILM!", "other"]), by_ids)
    assert np.array_equal(model.predict(["good film", "other"], batch_size=1), by_ids)


@pytest.mark.parametrize("reading, texts, wanted", [
    ({}, ["", "bad", "a  good\tfilm\n"], [[0, 0, 0], [4, 0, 0], [1, 3, 2]]),
    ({}, ["\u00a0bad", "BAD.good", "b.a,d"], [[1], [1], [4]]),              # a space of ASCII alone parts
    ({"lowercase": False}, ["Bad bad"], [[1, 4]]),
    ({"punctuation": "keep"}, ["bad! bad"], [[1, 4]]),
    ({"split": "character", "vocabulary": ("a", "\u00e4")}, ["\u00e4a", "x\U0001f600a"], [[3, 2, 0], [1, 1, 2]]),
    ({"ngrams": (2, 1), "vocabulary": ("bad bad", "bad")}, ["bad bad x", "bad"], [[2, 1, 3, 3, 1], [3, 0, 0, 0, 0]]),
    ({"first": 0, "outside": None, "blank": 5}, ["film bad", "good"], [[0, 2], [1, 5]])])
def test_how_texts_are_read(reading, texts, wanted):
    assert ids(texts, dataclasses.replace(READING, **reading)) == wanted


def test_a_number_of_steps_that_is_given_pads_and_cuts():
    assert ids(["good film bad", "bad"], shape=("batch", 2)) == [[3, 2], [4, 0]]


def test_a_token_each():
    words = Reading(("film", "good"), 1, 0)
    assert ids([["film", "good"], ["x", "film"]], words) == [[1, 2], [0, 1]]
    made = le.Model(graph(words, pool=False)).predict([["film"], ["good", "x", "film"]])        # of unequal length
    assert [(y[:, 0] / 2).astype(int).tolist() for y in made] == [[1], [2, 0, 1]]
    for sequences in ([[], ["good", "x"]], [["x"], []], [[], []]):
        made = le.Model(graph(words, pool=False)).predict(sequences)
        assert [len(y) for y in made] == [len(own) for own in sequences]
    model = le.Model(graph(words, pool=False))
    assert model.predict([["good", "x"], ["film", ""]], lengths=[2, 1])[..., 0].tolist() == [[4, 0], [2, 0]]
    assert model.predict(np.array([], object).reshape(0, 3)).shape == (0, 3, 2)
    with model.stream(batch=2) as stream:
        assert stream.step(np.array(["good", "x"]))[:, 0].tolist() == [4, 0]
        assert stream.run([["film"], ["good"]])[:, 0, 0].tolist() == [2, 4]


def nested(depth: int) -> list:
    made: list = ["a"]
    for _ in range(depth):
        made = [made]
    return made


ITSELF: list = []
ITSELF.append(ITSELF)
REFUSED = [
    (nested(5), le.ArgumentError, r"expected texts \[batch\]"),
    (nested(3000), le.ArgumentError, "not a rectangular array"),
    (ITSELF, le.LstmEngineError, "input 'words'"),
    ("one text", le.ArgumentTypeError, r"'words': expected a list of texts, got one text; give \['one text'\]"),
    (["a", 3], le.ArgumentTypeError, "expected texts, got int at place 1"),
    (["a", None], le.ArgumentTypeError, "expected texts, got NoneType at place 1"),
    (["a", "\ud800"], le.ArgumentError, "the text at place 1 is not one of UTF-8"),
    ([b"\xff"], le.ArgumentError, "the text at place 0 is not one of UTF-8"),
    ([["a", "b"], ["c", "d"]], le.ArgumentError, r"expected texts \[batch\], got \[2, 2\]"),
    ([["a"], ["b", "c"]], le.ArgumentTypeError, "expected texts, got list at place 0"),
    ({"other": ["a"]}, le.ArgumentError, "inputs must be named words; got other")]


@pytest.mark.parametrize("given, kind, message", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_text_is_refused(given, kind, message):
    with pytest.raises(kind, match=message):
        le.Model(graph()).predict(given)


def test_what_has_no_id_is_refused_by_name():
    model = le.Model(graph(dataclasses.replace(READING, outside=None)))
    with pytest.raises(le.ArgumentError, match="input 'words': 'other' is not in the vocabulary of 3 tokens"):
        model.predict(["good film", "other"])


def test_texts_have_lengths_of_their_own():
    with pytest.raises(le.ArgumentError, match="lengths: input 'words' has texts, .* leave lengths out"):
        le.Model(graph()).predict(["good film"], lengths=[1])
    with le.Model(graph(pool=False)).stream() as stream:
        with pytest.raises(le.ArgumentError, match="use run for more than one"):
            stream.step(["good film"])
        assert stream.run(["good film"]).shape == (1, 2, 2)


def test_a_model_without_a_reading_takes_no_texts():
    model = le.Model(dataclasses.replace(graph(), inputs=(Value("words", ("batch", "time"), "int64"),)))
    with pytest.raises(le.ArgumentTypeError, match="expected whole numbers"):
        model.predict(np.array([["good", "film"]]))


WRONG = [
    (dict(vocabulary=()), {}, "vocabulary of its reading must be 1 to"),
    (dict(vocabulary=("a", "")), {}, "texts of UTF-8 without a zero in it, none empty"),
    (dict(vocabulary=("a", "b\0")), {}, "without a zero"), (dict(vocabulary=("a", "\ud800")), {}, "of UTF-8"),
    (dict(vocabulary=("a", "b", "a")), {}, "without a token twice, got 'a'"), (dict(outside=-2), {}, "outside"),
    (dict(first=True), {}, "first"), (dict(blank=1 << 30), {}, "blank"), (dict(lowercase=1), {}, "lowercase"),
    (dict(punctuation="strip"), {}, "punctuation"), (dict(split="word"), {}, "split"),
    (dict(ngrams=()), {}, "ngrams"),
    (dict(ngrams=(1,) * 500), {}, "1 to 64 numbers"),
    (dict(split=None, ngrams=(2,)), {}, r"\(1,\) where texts are not split"),
    ({}, dict(shape=("batch", 1 << 20)), "the steps of its reading must be at most 65536"),
    ({}, dict(shape=("time", "batch")), r"\[batch, time\] where texts"),
    ({}, dict(dtype="float32"), "int32 or int64"), ({}, dict(shape=("batch",)), r"\[batch, time\] where texts")]


@pytest.mark.parametrize("reading, value, message", WRONG, ids=range(len(WRONG)))
def test_a_reading_that_says_nothing_is_refused(reading, value, message):
    own = Value("words", ("batch", "time"), "int64", dataclasses.replace(READING, **reading))
    with pytest.raises(le.GraphError, match=message):
        le.Model(dataclasses.replace(graph(), inputs=(dataclasses.replace(own, **value),)))


def test_a_file_keeps_it(tmp_path):
    reading = dataclasses.replace(READING, vocabulary=("\u00e4", "\n", "a b", "\U0001f600"), split="character",
                                  ngrams=(1, 2), outside=None, blank=1)
    for own in (reading, READING):
        save(graph(own), tmp_path / "m.lstm")
        before = (tmp_path / "m.lstm").read_bytes()
        assert b'"min_reader":"3"' in before
        kept = load(tmp_path / "m.lstm")
        assert kept.inputs[0].reading == own
        save(kept, tmp_path / "m.lstm")
        assert (tmp_path / "m.lstm").read_bytes() == before


@pytest.mark.parametrize("change, message", [
    (lambda r: r | {"vocabulary": "other"}, "vocabulary: there is no tensor 'other'"),
    (lambda r: r | {"vocabulary": "e.table"}, "vocabulary: expected one row of uint8, got float32"),
    (lambda r: r | {"split": 3}, "split: expected a string"), (lambda r: r | {"more": 3}, "more"),
    (lambda r: r | {"first": 2.5}, "first: expected an integer"), (lambda r: 3, "reading"),
    (lambda r: r | {"first": -2}, "first of its reading")])
def test_a_file_that_says_otherwise_is_refused(change, message):
    from lstm_engine.format.codec import decode, encode
    from lstm_engine.operators import validate

    config, tensors = encode(graph())
    config["inputs"][0]["reading"] = change(config["inputs"][0]["reading"])
    with pytest.raises((le.FormatError, le.GraphError), match=message):
        validate(decode(config, tensors.__getitem__))


def test_bytes_that_are_no_vocabulary():
    from lstm_engine.format.codec import decode, encode

    config, tensors = encode(graph())
    tensors["words.vocabulary"] = np.array([0xff, 0x61], np.uint8)
    with pytest.raises(le.FormatError, match=r"inputs\[0\]: reading: vocabulary: .*utf-8"):
        decode(config, tensors.__getitem__)


def test_random_texts_are_of_the_vocabulary():
    """Those that `verify` and the comparison with a live model draw: known, unknown, empty, and cleaned."""
    rng = np.random.default_rng(0)
    made = np.concatenate([np.ravel(ids(READING.drawn((4,), rng))) for _ in range(30)])
    assert set(made.tolist()) == {0, 1, 2, 3, 4}
    words = Reading(("film", "good"), 1, None, 0)
    assert set(np.ravel(ids(words.drawn((9, 4), rng), words)).tolist()) == {1, 2}


@pytest.mark.parametrize("texts, said", [
    (["a " * 65_536, *["a"] * 3000], "the ids of input 'words' need .* bytes; at most 536,870,912 are allowed"),
    (["a " * 65_537], "input 'words' has 65,537 steps"),
    (["a " * 20_000_000], "the tokens of a text of input 'words' need .* bytes")])
def test_ids_that_texts_would_make_are_bounded_before_they_are_made(texts, said):
    model = le.Model(graph(), limits=le.Limits.untrusted())
    with pytest.raises(le.LimitError, match=said):
        model.predict(texts)


class _Odd(str):
    def encode(self, *given):
        raise RuntimeError("of its own")


class _OddBytes(bytes):
    def decode(self, *given):
        raise RuntimeError("of its own")

    __bytes__ = decode


def test_what_a_subclass_says_of_its_encoding_is_not_asked():
    assert ids([_Odd("good film"), _OddBytes(b"bad")]) == [[3, 2], [4, 0]]


def test_a_reading_is_short_in_messages_and_its_ids_are_not_pickled():
    assert repr(READING) == f"<Reading: {READING}>" and "film" not in repr(READING)
    assert READING.ids[b"bad"] == 4 and b"" in READING.ids
    again = pickle.loads(pickle.dumps(READING))
    assert again == READING and "ids" not in vars(again)


def test_drawn_texts_have_ids():
    """Without an id for what is in no vocabulary, a mark that is kept is not drawn."""
    reading = Reading(("film", "good"), 1, None, 0, split="whitespace")
    ids(reading.drawn((200,), np.random.default_rng(0)).tolist(), reading)
