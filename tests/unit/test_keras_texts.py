"""TextVectorization and StringLookup as configurations have them: what is read, and what is refused by name."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import functional, layer, sequential, zipped

import lstm_engine as le

WORDS = ["film", "good"]


def one(kind: str, /, shape=(None,), **config):
    """A model of one layer over an input of texts."""
    return sequential(layer("InputLayer", "texts", batch_shape=list(shape), dtype="string"),
                      layer(kind, "odd", **{"vocabulary": WORDS, **config}))


def opened(config, tmp_path) -> le.Model:
    return le.convert(zipped(tmp_path / "m.keras", config, {}))


@pytest.mark.parametrize("vocabulary", [WORDS, ["", "[UNK]", *WORDS]], ids=["tokens", "with those of its own"])
def test_a_vocabulary_that_is_given(vocabulary, tmp_path):
    model = opened(one("TextVectorization", vocabulary=vocabulary), tmp_path)
    assert model.predict(["Good film, that", "x"]).tolist() == [[3, 2, 1], [1, 0, 0]]
    assert model.inputs["texts"].reading.vocabulary == ("film", "good")


def test_without_a_place_for_other_tokens(tmp_path):
    model = opened(one("StringLookup", num_oov_indices=0, mask_token=""), tmp_path)
    assert model.predict(["good", "", "film"]).tolist() == [2, 0, 1]
    with pytest.raises(le.ArgumentError, match="'other' is not in the vocabulary of 2 tokens"):
        model.predict(["good", "other"])


REFUSED = [
    ("StringLookup", {"num_oov_indices": 3}, "num_oov_indices 3 is not supported, as a hash"),
    ("StringLookup", {"num_oov_indices": 0}, "num_oov_indices 0 without a mask_token"),
    ("StringLookup", {"mask_token": "x"}, "mask_token 'x' is not supported"),
    ("StringLookup", {"invert": True}, "invert True is not supported"),
    ("StringLookup", {"encoding": "latin-1"}, "encoding 'latin-1' is not supported"),
    ("StringLookup", {"salt": 3}, "salt 3 is not supported"),
    ("StringLookup", {"vocabulary": None}, r"does not keep the vocabulary.*get_layer\('odd'\)\(texts\)"),
    ("StringLookup", {"output_mode": "tf_idf"}, "output_mode 'tf_idf'"),
    ("TextVectorization", {"standardize": {"class_name": "function", "config": "f"}},
     "standardize=.*before they are given"),
    ("TextVectorization", {"standardize": ["lower"]}, "standardize=.'lower'. is not supported"),
    ("TextVectorization", {"standardize": "upper"}, "standardize='upper' is not supported; supported: None, lower"),
    ("TextVectorization", {"split": {"class_name": "function", "config": "f"}}, "split=.*is not supported"),
    ("TextVectorization", {"split": None}, "for texts that are tokens: StringLookup"),
    ("TextVectorization", {"output_sequence_length": 2**20}, "output_sequence_length 1048576 is not supported"),
    ("TextVectorization", {"ragged": True}, "ragged=True is not supported"),
    ("TextVectorization", {"idf_weights": [1.0, 2.0]}, "idf_weights"),
    ("TextVectorization", {"pad_to_max_tokens": True}, "pad_to_max_tokens True is not supported"),
    ("StringLookup", {"vocabulary": ["a", ""], "mask_token": None}, "an empty token in its vocabulary, at place 1"),
]


@pytest.mark.parametrize("kind, config, said", REFUSED)
def test_what_is_not_supported_is_named(kind, config, said, tmp_path):
    with pytest.raises(le.UnsupportedError, match=f"layer 'odd' \\({kind}\\).*{said}"):
        opened(one(kind, **config), tmp_path)


@pytest.mark.parametrize("kind, config, said", [
    ("StringLookup", {"vocabulary": ["a", "b", "a"]}, "a token twice"),
    ("StringLookup", {"vocabulary": ["[UNK]"]}, "none at all"),
    ("StringLookup", {"vocabulary": ["a\0b"]}, "a zero in it"),
    ("StringLookup", {"vocabulary": [1, 2]}, "texts"),
    ("StringLookup", {"vocabulary": "words.txt"}, "expected 1 to 1048576 texts"),
    ("TextVectorization", {"ngrams": 0}, "ngrams is 0"), ("TextVectorization", {"ngrams": [1, -1]}, "ngrams is"),
    ("TextVectorization", {"output_sequence_length": 0}, "output_sequence_length"),
    ("TextVectorization", {"output_sequence_length": "3"}, "output_sequence_length"),
    ("TextVectorization", {"shape": (None, 3)}, r"expected \[batch\] or \[batch, 1\] texts")])
def test_what_contradicts_itself_is_refused(kind, config, said, tmp_path):
    with pytest.raises(le.FormatError, match=f"layer 'odd' \\({kind}\\).*{said}"):
        opened(one(kind, **config), tmp_path)


def test_other_layers_take_no_texts(tmp_path):
    for kind, config in (("Flatten", {}), ("Dense", {"units": 2}), ("Embedding", {"input_dim": 3, "output_dim": 2}),
                         ("Dropout", {"rate": 0.1}), ("IntegerLookup", {"vocabulary": [1, 2]})):
        with pytest.raises(le.UnsupportedError, match=f"layer 'odd' \\({kind}\\) of the texts of input 'texts' is not"):
            opened(sequential(layer("InputLayer", "texts", batch_shape=[None], dtype="string"),
                              layer(kind, "odd", **config)), tmp_path)


def test_texts_that_nothing_reads(tmp_path):
    with pytest.raises(le.UnsupportedError, match="input 'texts' takes texts, which no layer reads"):
        opened(sequential(layer("InputLayer", "texts", batch_shape=[None], dtype="string")), tmp_path)


@pytest.mark.parametrize("other, taken", [({}, True), ({"output_mode": "count"}, False),
                                          ({"split": "character"}, False), ({"output_sequence_length": 4}, False)])
def test_one_input_is_read_in_one_way(other, taken, tmp_path):
    inbound = [[["texts", 0, 0, {}]]]
    entries = [layer("InputLayer", "texts", [], batch_shape=[None], dtype="string"),
               layer("TextVectorization", "a", inbound, vocabulary=WORDS),
               layer("TextVectorization", "odd", inbound, vocabulary=WORDS, **other)]
    config = functional(entries, [["texts", 0, 0]], [["a", 0, 0], ["odd", 0, 0]])
    if taken:
        made = opened(config, tmp_path).predict(["good"])
        assert [y.tolist() for y in made.values()] == [[[3]], [[3]]]
        return
    with pytest.raises(le.UnsupportedError, match=r"'odd' \(TextVectorization\) and another layer read the texts"):
        opened(config, tmp_path)


def test_tokens_with_line_breaks_are_in_no_file(tmp_path):
    path = zipped(tmp_path / "m.keras", one("TextVectorization", vocabulary=None, split="character"), {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layers/text_vectorization/vocabulary.txt", "\n[UNK]\na\n\u2028\nb")
    with pytest.raises(le.UnsupportedError, match="a token of its vocabulary has a line break in it"):
        le.convert(path)


def test_whole_numbers_end_with_a_line_break_or_without(tmp_path):
    for at, text in enumerate(("-1\n7\n9\n", "-1\n7\n9")):
        numbers = sequential(layer("InputLayer", "x", batch_shape=[None, 2], dtype="int64"),
                             layer("IntegerLookup", "odd", vocabulary=None))
        path = zipped(tmp_path / f"{at}.keras", numbers, {})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("assets/layers/integer_lookup/vocabulary.txt", text)
        assert le.convert(path).predict(np.array([[9, 3]])).tolist() == [[2, 0]]


def test_a_vocabulary_that_windows_wrote(tmp_path):
    path = zipped(tmp_path / "m.keras", one("TextVectorization", vocabulary=None), {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/layers/text_vectorization/_lookup_layer/vocabulary.txt", "\r\n[UNK]\r\ngood\r\nfilm")
    assert np.array_equal(le.convert(path).predict(["a good film"]), [[1, 2, 3]])
