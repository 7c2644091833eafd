"""Callers that change ids and lengths while a call reads them: the right answer for some of them, or a typed error."""

import itertools
import threading

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.graph import LSTM, Embedding, Graph, Value

VOCABULARY, BATCH, STEPS, UNITS = 50, 64, 40, 8
ROUNDS = 150
OUTSIDE = 2**30                     # as an index or a count it leads far out of any array
TABLE = np.arange(VOCABULARY * 3, dtype=np.float32).reshape(VOCABULARY, 3) / VOCABULARY
W, R = np.full((1, 4 * UNITS, 3), 0.1, np.float32), np.full((1, 4 * UNITS, UNITS), 0.1, np.float32)


def network() -> le.Model:
    return le.Model([le.Embedding(TABLE), le.LSTM(W, R)])


def with_lengths_inside() -> le.Model:
    nodes = (Embedding(name="table", inputs=("ids",), outputs=("x",), table=TABLE),
             LSTM(name="lstm", inputs=("x", "lengths"), outputs=("y",), W=W, R=R))
    return le.Model(Graph((Value("ids", ("batch", "time"), "int32"), Value("lengths", ("batch",), "int32")), nodes,
                          ("y",)))


class Rewriting:
    """Another thread that writes `values` in turn to each of `arrays`, until the block ends."""

    def __init__(self, *arrays: np.ndarray, values: tuple[int, int] = (1, OUTSIDE)) -> None:
        self._arrays, self._values, self._ended = arrays, values, threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        for value in itertools.cycle(self._values):
            for array in self._arrays:
                array[...] = value
            if self._ended.is_set():
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()


def outcomes(call) -> list[np.ndarray]:
    """What a call gave in many rounds, where it gave an answer; a refusal must be one of ours."""
    answers = []
    for _ in range(ROUNDS):
        try:
            answers.append(call())
        except le.ArgumentError:
            continue
    return answers


IDS = {
    "quick": lambda model, ids: model.predict(ids),
    "threads": lambda model, ids: model.predict(ids, threads=2),
    "in a dict": lambda model, ids: model.predict({"input": ids}),
    "a list": lambda model, ids: model.predict(list(ids)),
    "in parts": lambda model, ids: model.predict(ids, batch_size=16),
    "with states": lambda model, ids: model.predict(ids, return_state=True)[0],
    "lengths": lambda model, ids: model.predict(ids, lengths=[STEPS] * BATCH),
    "stream": lambda model, ids: model.stream(BATCH).run(ids),
}


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("way", IDS)
def test_ids_rewritten_meanwhile(way, dtype):
    """Ids are 1, or a number outside the table that is refused."""
    model, ids = network(), np.ones((BATCH, STEPS), dtype)
    with Rewriting(ids):
        answers = outcomes(lambda: IDS[way](model, ids))
    wanted = np.array(model.predict(np.ones((BATCH, STEPS), np.int32)))
    assert all(np.array_equal(np.array(answer), wanted) for answer in answers)
    ids[...] = OUTSIDE
    with pytest.raises(le.ArgumentError, match=f"{OUTSIDE}"):
        IDS[way](model, ids)


LENGTHS = {
    "quick": lambda model, lengths: model.predict(np.ones((BATCH, STEPS), np.int32), lengths),
    "long way": lambda model, lengths: model.predict(np.ones((BATCH, STEPS), np.int32), lengths, return_state=True)[0],
    "in parts": lambda model, lengths: model.predict(np.ones((BATCH, STEPS), np.int32), lengths, batch_size=16),
}


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("way", LENGTHS)
def test_lengths_rewritten_meanwhile(way, dtype):
    """Each row has 3 steps, or is refused."""
    model, lengths = network(), np.full(BATCH, 3, dtype)
    with Rewriting(lengths, values=(3, OUTSIDE)):
        answers = outcomes(lambda: LENGTHS[way](model, lengths))
    wanted = LENGTHS[way](model, np.full(BATCH, 3))
    assert all(np.array_equal(answer, wanted) for answer in answers)
    with pytest.raises(le.ArgumentError, match="lengths"):
        LENGTHS[way](model, np.full(BATCH, OUTSIDE, dtype))


def test_lengths_that_are_an_input_rewritten_meanwhile():
    model, ids, lengths = with_lengths_inside(), np.ones((BATCH, STEPS), np.int32), np.full(BATCH, 3, np.int32)
    with Rewriting(ids, lengths, values=(3, OUTSIDE)):
        answers = outcomes(lambda: model.predict({"ids": ids, "lengths": lengths}))
    wanted = model.predict({"ids": np.full((BATCH, STEPS), 3, np.int32), "lengths": np.full(BATCH, 3, np.int32)})
    # The two arrays are copied one after the other, and ids may have been 1 at first.
    ones = model.predict({"ids": np.ones((BATCH, STEPS), np.int32), "lengths": np.full(BATCH, 3, np.int32)})
    assert all((answer == wanted).all(-1).all(-1).any() or (answer == ones).all(-1).all(-1).any() for answer in answers)


def test_operator_lengths_rewritten_meanwhile():
    x, lengths = np.ones((STEPS, BATCH, 3), np.float32), np.full(BATCH, 3, np.int32)
    with Rewriting(lengths, values=(3, OUTSIDE)):
        answers = outcomes(lambda: le.ops.lstm(x, W, R, sequence_lens=lengths)[0])
    wanted = le.ops.lstm(x, W, R, sequence_lens=[3] * BATCH)[0]
    assert all(np.array_equal(answer, wanted) for answer in answers)
