"""Sequences written the ways that tools write them come back as they were, or are asked about: never as other ones."""

from __future__ import annotations

import io
from datetime import datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_engine as le
from lstm_engine import graph as g
from lstm_engine.cli.arguments import UsageError
from lstm_engine.cli.csv_sequences import read_csv
from lstm_engine.cli.csv_text import CsvOptions

NUMBERS = st.integers(-3000, 3000) | st.floats(-1e4, 1e4).map(lambda x: round(x, 3))
WORDS = st.sampled_from(["north", "south", "sea level", "x-1", "r2d2"])
STARTS = st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1))


def index_of(kind: str, rows: int, start: datetime) -> list[str]:
    stamps = [start.replace(microsecond=0) + timedelta(minutes=30 * row) for row in range(rows)]
    return {"counted": [str(row) for row in range(rows)], "from 1": [str(row + 1) for row in range(rows)],
            "gaps": [str(3 * row) for row in range(rows)], "iso": [str(stamp) for stamp in stamps],
            "american": [f"{stamp:%m/%d/%Y %H:%M}" for stamp in stamps],
            "epoch": [str(int((stamp - datetime(1970, 1, 1)).total_seconds())) for stamp in stamps]}[kind]


def frames(width: int):
    """[rows][width], as text that reads back as the same numbers."""
    row = st.lists(NUMBERS, min_size=width, max_size=width)
    return st.lists(row, min_size=1, max_size=6)


def read(lines: list[list[str]], width: int, written: str = ",", **options):
    text = "\r\n".join(written.join(line) for line in lines) + "\r\n"
    value = g.Value("x", ("batch", "time", width))
    try:
        given_ = read_csv(io.StringIO(text, newline=""), value, "f.csv", CsvOptions(**options), None)
    except (UsageError, le.FormatError):
        return None
    ends = given_.lengths if given_.lengths is not None else [given_.arrays["x"].shape[1]] * len(given_.arrays["x"])
    return [row[:end].tolist() for row, end in zip(given_.arrays["x"], ends, strict=True)]


def same(found, frame) -> None:
    assert [[list(map(float, step)) for step in own] for own in found] == \
        [[list(map(float, step)) for step in own] for own in frame]


@settings(max_examples=400, deadline=None)
@given(st.data(), st.integers(1, 3), st.sampled_from(["counted", "from 1", "gaps", "iso", "american", "epoch"]), STARTS,
       st.sampled_from(["", "t", "timestamp", None]))
def test_one_sequence_with_an_index(data, width, kind, start, corner):
    frame = data.draw(frames(width))
    names = [f"v{at}" for at in range(width)]
    lines = [[label, *map(str, step)] for label, step in zip(index_of(kind, len(frame), start), frame, strict=True)]
    if corner is not None:
        lines.insert(0, [corner, *names])
    found = read(lines, width)
    if found is None:
        assert kind not in ("iso",) and not (corner == "" and kind in ("counted", "gaps")), "plain, and refused"
    else:
        same(found, [frame])
    same(read(lines, width, index=True, header=corner is not None), [frame])


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 2), st.lists(WORDS, min_size=1, max_size=4, unique=True), st.booleans())
def test_named_sequences(data, width, words, headed):
    sequences = [data.draw(frames(width)) for _ in words]
    lines = [[word, *map(str, step)] for word, own in zip(words, sequences, strict=True) for step in own]
    if headed:
        lines.insert(0, ["site", *(f"v{at}" for at in range(width))])
    found = read(lines, width)
    if found is not None:
        same(found, sequences)
    same(read(lines, width, name_column="1", header=headed), sequences)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_european_numbers(data, width):
    frame = data.draw(frames(width))
    lines = [[str(cell).replace(".", ",") for cell in step] for step in frame]
    same(read(lines, width, ";", sep=";", decimal=",", header=False), [frame])
    found = read(lines, width, ";")
    if found is not None:                        # a file of whole numbers in one column has no mark in it
        same(found, [frame])


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 3), st.sampled_from(["index", "plain"]))
def test_frames_of_pandas_without_names(data, width, kind):
    """DataFrame(array).to_csv(): a heading of 0,1,2, with or without the index."""
    frame = data.draw(frames(width))
    with_index = kind == "index"
    lines = [[""] * with_index + [str(at) for at in range(width)]]
    lines += [[str(row)] * with_index + [repr(float(cell)) for cell in step] for row, step in enumerate(frame)]
    found = read(lines, width)
    if found is not None:
        same(found, [frame])
    same(read(lines, width, header=True, **({"index": True} if with_index else {})), [frame])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=3), min_size=2, max_size=5), st.booleans(),
       st.booleans(), st.sampled_from(["counted", "words"]))
def test_ids_of_a_frame(rows, index, heading, names):
    """Rows of ids with what pandas puts around them."""
    lines = [[str(number)] * index + list(map(str, row)) for number, row in enumerate(rows)]
    if heading:
        lines.insert(0, [""] * index + [str(at) if names == "counted" else f"t{at}" for at in range(3)])
    text = "\n".join(map(",".join, lines))
    value = g.Value("x", ("batch", "time"), "int32")
    try:
        found = read_csv(io.StringIO(text, newline=""), value, "f.csv", CsvOptions(), None).arrays["x"]
    except (UsageError, le.FormatError):
        found = None
    if found is not None:
        np.testing.assert_array_equal(found, rows)
    told = CsvOptions(header=heading, index=index)
    found = read_csv(io.StringIO(text, newline=""), value, "f.csv", told, None).arrays["x"]
    np.testing.assert_array_equal(found, rows)
