"""Any valid graph comes back from its file bit for bit; any bytes give a typed error or a valid graph."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from graphs import assert_same, every_node
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lstm_files import assemble, parts, sealed, tiny
from quantized_models import QUANTIZED_TYPES, as_quantized

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.format import decode, encode, load, save
from lstm_engine.graph import (
    ACTIVATIONS,
    GRU,
    LSTM,
    RNN,
    Activate,
    Activation,
    Dense,
    Embedding,
    Graph,
    Mask,
    Node,
    Operator,
    Pool,
    Value,
)
from lstm_engine.graph.activations import ROW_WISE
from lstm_engine.operators import validate

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
sizes = st.integers(1, 4)
numbers = st.floats(allow_nan=False, allow_infinity=False)
limits = st.none() | st.floats(1e-300, 1e300)


@st.composite
def activations(draw, row_wise: bool = True) -> Activation:
    name = draw(st.sampled_from(sorted(ACTIVATIONS.keys() - (set() if row_wise else ROW_WISE))))
    return Activation.of(name, draw(numbers), draw(numbers))


def floats(*shape: int, dtype: str) -> st.SearchStrategy[np.ndarray]:
    """Any bits at all, NaN payloads and denormals included."""
    raw = np.dtype(dtype).str.replace("f", "u")
    return arrays(raw, shape).map(lambda bits: bits.view(dtype))


@st.composite
def recurrent(draw, name: str, x: str, y: str, features: int) -> Node:
    kind = draw(st.sampled_from((LSTM, GRU, RNN)))
    direction = draw(st.sampled_from(("forward", "reverse", "bidirectional")))
    dirs, hidden, dtype = 1 + (direction == "bidirectional"), draw(sizes), draw(st.sampled_from(("f2", "f4", "f8")))
    rows, read_back = kind.gates * hidden, hidden
    fields: dict = {}
    if kind is LSTM:
        if draw(st.booleans()):
            read_back = draw(sizes)
            fields["projection"] = draw(floats(dirs, read_back, hidden, dtype=dtype))
        fields |= dict(P=draw(st.none() | floats(dirs, 3 * hidden, dtype=dtype)), input_forget=draw(st.booleans()),
                       peephole_output=draw(st.sampled_from(("current", "previous"))), cell_clip=draw(limits))
    if kind is GRU:
        fields["linear_before_reset"] = draw(st.booleans())
    functions = st.tuples(*[activations(row_wise=False)] * len(kind.default_activations))
    return kind(name=name, inputs=(x,) + ("",) * draw(st.integers(0, 4)), outputs=(y,), direction=direction,
                W=draw(floats(dirs, rows, features, dtype=dtype)), R=draw(floats(dirs, rows, read_back, dtype=dtype)),
                B=draw(st.none() | floats(dirs, 2 * rows, dtype=dtype)), clip=draw(limits),
                activations=draw(st.tuples(*[functions] * dirs)), zero_masked=draw(st.booleans()), **fields)


@st.composite
def layers(draw, name: str, x: str, y: str, features: int) -> Node:
    """A node that reads a sequence of `features` and gives a sequence."""
    kind = draw(st.sampled_from(("recurrent", "dense", "activate", "operator")))
    if kind == "recurrent":
        return draw(recurrent(name, x, y, features))
    if kind == "dense":
        units, dtype = draw(sizes), draw(st.sampled_from(("f2", "f4", "f8")))
        return Dense(name=name, inputs=(x,), outputs=(y,), kernel=draw(floats(features, units, dtype=dtype)),
                     bias=draw(st.none() | floats(units, dtype=dtype)), activation=draw(activations()))
    if kind == "activate":
        return Activate(name=name, inputs=(x,), outputs=(y,), activation=draw(activations()))
    constant = draw(floats(*draw(st.sampled_from(((), (1,), (features,)))), dtype="f4"))
    return Operator(name=name, inputs=(x, ""), outputs=(y,), op_type="Mul", constants={1: constant})


@st.composite
def graphs(draw) -> Graph:
    """A chain of layers under an embedding or a sequence, with a pool at its end or not, under any names."""
    count = draw(st.integers(0, 4))
    values = draw(st.lists(names, min_size=count + 4, max_size=count + 4, unique=True))
    labels = iter(draw(st.lists(names, min_size=count + 3, max_size=count + 3, unique=True)))
    symbols = draw(st.lists(names, min_size=2, max_size=2, unique=True))
    features, nodes, outputs = draw(sizes), [], []
    if draw(st.booleans()):
        inputs = (Value(values[0], (*symbols,), draw(st.sampled_from(("int32", "int64", "uint8")))),)
        nodes.append(Embedding(name=next(labels), inputs=(values[0],), outputs=(values[1],),
                               table=draw(floats(draw(sizes), features, dtype="f4"))))
        if draw(st.booleans()):
            nodes.append(Mask(name=next(labels), inputs=(values[0],), outputs=(values[2],),
                              value=draw(st.integers(-2**31, 2**31 - 1))))
            outputs.append(values[2])
    else:
        inputs = (Value(values[1], (*symbols, features)),)
    last = values[1]
    for name in values[4:]:
        node = draw(layers(next(labels), last, name, features))
        if isinstance(node, Dense):
            features = node.kernel.shape[1]
        elif isinstance(node, (LSTM, GRU, RNN)):
            features = node.dirs * node.output_size
        nodes.append(node)
        last = name
    if draw(st.booleans()):
        kind = draw(st.sampled_from(("last", "mean", "max")))
        nodes.append(Pool(name=next(labels), inputs=(last,), outputs=(values[3],), kind=kind))
        last = values[3]
    return validate(Graph(inputs, tuple(nodes), (last, *outputs), draw(st.dictionaries(st.just("source") | names, names,
                                                                                       max_size=2))))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "model.lstm"


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
@example(every_node())
def test_a_graph_comes_back_and_its_bytes_are_its_own(path, graph):
    save(graph, path)
    raw = path.read_bytes()
    loaded = load(path)
    assert_same(loaded, graph)
    save(loaded, path)
    assert path.read_bytes() == raw


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_decode_undoes_encode(graph):
    config, tensors = encode(graph)
    assert_same(decode(config, tensors.__getitem__), graph)


def saved(graph: Graph) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save(graph, Path(folder) / "a.lstm")
        return (Path(folder) / "a.lstm").read_bytes()


def outcome(path, raw: bytes) -> None:
    """Load `raw`: a valid graph that saves to the same bytes, or a typed error."""
    path.write_bytes(raw)
    try:
        graph = load(path)
    except (FormatError, UnsupportedError) as error:
        assert str(error).startswith(f"{path}: ")
    else:
        save(graph, path)
        newer = b'"version":"1"' not in raw and b'"version":"2"' not in raw      # another writer's, who says so
        assert path.read_bytes() == raw or newer


TINY_FILE = assemble(*parts(tiny()))
QUANTIZED_FILES = {to: saved(as_quantized(tiny(), to)) for to in QUANTIZED_TYPES}
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                                            max_size=3), max_leaves=5)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(path, raw):
    path.write_bytes(raw)
    with pytest.raises(FormatError):
        load(path)


@settings(max_examples=400)
@example([(TINY_FILE.index(b'name\\":\\"d') + len(b'name\\":\\"'), ord("e"))])      # a node renamed, its tensors not
@given(st.lists(st.tuples(st.integers(0, len(TINY_FILE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_resealed_edit_gives_a_typed_error_or_a_valid_graph(path, edits):
    raw = bytearray(TINY_FILE)
    for at, byte in edits:
        raw[at] = byte
    outcome(path, sealed(bytes(raw)))


@settings(max_examples=400)
@given(st.sampled_from(QUANTIZED_TYPES), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
                                                  min_size=1, max_size=4))
def test_any_resealed_edit_of_quantised_weights_does_too(path, to, edits):
    raw = bytearray(QUANTIZED_FILES[to])
    for at, byte in edits:
        raw[int(at * len(raw))] = byte
    outcome(path, sealed(bytes(raw)))


def places(value, head=()):
    """The paths of every value inside JSON data."""
    yield head
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*head, key))


CONFIG, TENSORS = encode(every_node())
QUANTIZED_CONFIG, QUANTIZED_TENSORS = encode(as_quantized(every_node(), "int8"))


@settings(max_examples=400)
@given(st.sampled_from([place for place in places(CONFIG) if place]), anything)
def test_any_value_in_a_configuration_gives_a_typed_error_or_a_valid_graph(place, value):
    with_value(CONFIG, TENSORS, place, value)


@settings(max_examples=200)
@given(st.sampled_from([place for place in places(QUANTIZED_CONFIG) if place]), anything)
def test_any_value_in_one_of_quantised_weights_does_too(place, value):
    with_value(QUANTIZED_CONFIG, QUANTIZED_TENSORS, place, value)


def with_value(whole, tensors, place, value) -> None:
    config = copy.deepcopy(whole)
    *head, last = place
    inner = config
    for step in head:
        inner = inner[step]
    inner[last] = value
    try:
        graph = decode(config, tensors.__getitem__)
    except (FormatError, UnsupportedError):
        return
    try:
        validate(graph)
    except ValueError as error:         # GraphError and UnsupportedError are ValueErrors
        assert type(error).__module__ == "lstm_engine.errors", error
