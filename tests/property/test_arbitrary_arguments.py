"""Arbitrary objects and arrays at every public call: the answer that plain arrays get, or one of our errors."""

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as hnp  # noqa: E402

import lstm_engine as le  # noqa: E402

W = np.linspace(-1, 1, 24, dtype=np.float32).reshape(1, 8, 3)
R = np.linspace(1, -1, 16, dtype=np.float32).reshape(1, 8, 2)
TABLE = np.linspace(-2, 2, 30, dtype=np.float32).reshape(10, 3)
FLOATS, TOKENS = le.Model([le.LSTM(W, R)]), le.Model([le.Embedding(TABLE), le.LSTM(W, R)])

DTYPES = st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes(),
                   st.sampled_from([np.dtype("V3"), np.dtype("g"), np.dtype(">f4"), np.dtype(">i8"), np.dtype("O")]))
SHAPES = st.one_of(st.sampled_from([(), (0,), (2, 4, 3), (2, 4), (2, 3), (1, 1, 3), (0, 4, 3), (2, 0, 3), (2,)]),
                   hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


@st.composite
def arrays(draw) -> np.ndarray:
    """An array of any dtype, laid out in any way."""
    dtype, shape = draw(DTYPES), draw(SHAPES)
    if dtype.hasobject:
        array = np.full(shape, None, dtype)
    else:
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        array = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8).view(dtype) if count and \
            draw(st.booleans()) else np.zeros(shape, dtype)
        array = array.reshape(shape)
    form = draw(st.sampled_from(["plain", "fortran", "backwards", "read-only", "unaligned", "subclass", "masked",
                                 "no strides"]))
    if form == "fortran":
        return np.asfortranarray(array)
    if form == "backwards" and array.ndim:
        return array[::-1]
    if form == "read-only":
        array.flags.writeable = False
    if form == "unaligned" and array.size and dtype.itemsize and not dtype.hasobject:
        return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(dtype).reshape(shape)
    if form == "subclass":
        return array.view(type("Own", (np.ndarray,), {}))
    if form == "masked" and dtype.kind in "fiub":
        return np.ma.masked_array(array, array == 0)
    if form == "no strides" and array.size:
        return np.broadcast_to(array.reshape(-1)[0], shape)
    return array


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=5),
                    st.binary(max_size=5), st.just(object()), st.sampled_from(["mask", "error", "avx2", "left"]))
THINGS = st.one_of(arrays(), st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(
        st.sampled_from(["input", "lstm", "h", "c", "output", "a"]), inner, max_size=3)), max_leaves=6))


def outcome(call):
    """What a call gives; None where it is refused by one of our errors."""
    try:
        return call()
    except le.LstmEngineError:
        return None


def plainly(x) -> np.ndarray:
    """The numbers of x in an array of the simplest kind."""
    return np.array(x, order="C", copy=True)


many = settings(max_examples=80, suppress_health_check=list(HealthCheck))


@many
@given(x=THINGS)
@pytest.mark.parametrize("model, dtype, rank", [(FLOATS, np.float32, 3), (TOKENS, np.int32, 2)], ids=["floats", "ids"])
def test_inputs(model, dtype, rank, x):
    y = outcome(lambda: model.predict(x))
    stream = model.stream(2)
    z = outcome(lambda: stream.run(x))
    outcome(lambda: stream.step(x))
    if isinstance(x, np.ndarray) and y is not None:
        with np.errstate(all="ignore"):
            plain = plainly(x).astype(dtype) if x.size else np.zeros(x.shape, dtype)
        assert plain.ndim == rank
        wanted = model.predict(plain)
        assert np.array_equal(y, wanted, equal_nan=True)
        assert z is None or np.array_equal(z, wanted, equal_nan=True)
    elif isinstance(x, np.ndarray):          # refused: not because of where its numbers lie
        plain = plainly(x)
        assert np.ma.is_masked(x) or outcome(lambda: model.predict(plain)) is None


@many
@given(data=st.data())
def test_options(data):
    x = np.ones((2, 4, 3), np.float32)
    names = ("lengths", "batch_size", "progress", "out", "threads", "initial_state", "return_state", "nan")
    options = data.draw(st.dictionaries(st.sampled_from(names), THINGS, max_size=2))
    if "threads" in options and isinstance(options["threads"], int):
        options["threads"] = min(options["threads"], 4)
    outcome(lambda: FLOATS.predict(x, **options))
    assert np.array_equal(FLOATS.predict(x), le.Model([le.LSTM(W, R)]).predict(np.ones((2, 4, 3), np.float32)))


@many
@given(lengths=arrays())
def test_lengths(lengths):
    x = np.ones((2, 4, 3), np.float32)
    y = outcome(lambda: FLOATS.predict(x, lengths))
    if y is not None:
        assert np.array_equal(y, FLOATS.predict(x, [int(length) for length in plainly(lengths)]))


@many
@given(state=THINGS, rows=THINGS)
def test_states(state, rows):
    stream = FLOATS.stream(2)
    for value in (state, {"lstm": {"h": state}}):
        before = stream.state["lstm"]["h"]

        def put(value=value) -> bool:
            stream.state = value
            return True

        done = outcome(put)
        assert done or np.array_equal(stream.state["lstm"]["h"], before, equal_nan=True)
    outcome(lambda: stream.reset(rows))
    outcome(lambda: FLOATS.predict(np.ones((2, 4, 3), np.float32), initial_state={"lstm": {"c": state}}))


@many
@given(things=st.tuples(THINGS, THINGS, THINGS))
def test_operators_layers_and_padding(things):
    a, b, c = things
    x = np.ones((2, 4, 3), np.float32)
    for call in (lambda: le.ops.lstm(a, W, R), lambda: le.ops.gru(x, a, b), lambda: le.ops.rnn(x, W, R, a, b, c),
                 lambda: le.ops.lstm(x, W, R, a, b, c), lambda: le.Model([le.LSTM(a, b, c)]),
                 lambda: le.Model([le.Dense(a, b, c)]), lambda: le.Model([le.Embedding(a)]), lambda: le.Model(a),
                 lambda: le.pad_sequences(a), lambda: le.pad_sequences([[1]], value=a, dtype=b)):
        outcome(call)
