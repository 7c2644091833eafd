"""Values of different row counts in one model, against ONNX Runtime: each node runs on its own rows.

Every model runs on inputs whose sizes change from call to call and come again, which a recorded plan must not mix up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx_graphs import model, node, runtime_outputs

import lstm_engine as le
from lstm_engine.plan import Segment

pytest.importorskip("onnxruntime")

# float32 sums of at most 8 terms through tanh and sigmoid, in another order of summation
CLOSE = {"rtol": 0, "atol": 2e-6}


def weights(*shape: int) -> np.ndarray:
    return (0.5 * np.random.default_rng(shape).standard_normal(shape)).astype(np.float32)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng([7, *shape]).standard_normal(shape).astype(np.float32)


def ids(*shape: int) -> np.ndarray:
    return np.random.default_rng([8, *shape]).integers(0, 9, shape)


def by_name(made: Any, names: list[str]) -> dict[str, np.ndarray]:
    return made if isinstance(made, dict) else {names[0]: made}


def agree(source: Any, *feeds: dict[str, np.ndarray], saved: Any = None) -> le.Model:
    """Each feed three times in turn gives ONNX Runtime's shapes and numbers; the model."""
    names = [value.name for value in source.graph.output]
    wanted = [runtime_outputs(source, feed) for feed in feeds]
    engine = le.convert(source)
    models = [engine]
    if saved is not None:
        engine.save(saved)
        models.append(le.load(saved))
    for ours in models:
        for _ in range(3):
            for feed, want in zip(feeds, wanted):
                for name, array in by_name(ours.predict(feed), names).items():
                    assert array.shape == want[name].shape, name
                    np.testing.assert_allclose(array, want[name], **CLOSE, err_msg=name)
    return engine


def test_an_activation_of_one_row_beside_a_product_of_several(tmp_path):
    source = model([node("Tanh", "a", "t"), node("MatMul", "x K", "y")], {"a": (1, 1, 2), "x": ("b", 1, 2)}, "t y",
                   {"K": weights(2, 3)})
    agree(source, {"a": numbers(1, 1, 2), "x": numbers(3, 1, 2)}, {"a": numbers(1, 1, 2), "x": numbers(1, 1, 2)},
          saved=tmp_path / "m.lstm")


def encoder() -> Any:
    return model([node("MatMul", "source K", "m"), node("Gather", "m last", "g", axis=0),
                  node("Unsqueeze", "g zero", "h"), node("Transpose", "x", "xt", perm=[1, 0, 2]),
                  node("RNN", "xt W R - - h", "Y", hidden_size=2)],
                 {"source": ("source", "batch", 2), "x": ("batch", "time", 2)}, "Y",
                 {"K": weights(2, 2), "last": np.int64(-1), "zero": np.array([0]), "W": weights(1, 2, 2),
                  "R": weights(1, 2, 2)})


@pytest.mark.parametrize("batch", [1, 4])
def test_the_last_step_of_an_encoder_is_the_first_state_of_a_decoder(batch):
    agree(encoder(), *({"source": numbers(steps, batch, 2), "x": numbers(batch, 3, 2)} for steps in (5, 1, 4)))


def test_two_towers_of_queries_and_documents():
    source = model([node("MatMul", "q K", "qk"), node("Tanh", "qk", "qe"), node("MatMul", "d L", "dk"),
                    node("Tanh", "dk", "de"), node("Transpose", "de", "dt", perm=[1, 0]),
                    node("MatMul", "qe dt", "s")], {"q": ("nq", 4), "d": ("nd", 4)}, "s",
                   {"K": weights(4, 3), "L": weights(4, 3)})
    engine = agree(source, {"q": numbers(1, 4), "d": numbers(40_000, 4)}, {"q": numbers(7, 4), "d": numbers(2, 4)},
                   {"q": numbers(3, 4), "d": numbers(3, 4)})
    queries, documents = numbers(5, 4), numbers(6, 4)
    whole = engine.predict({"q": queries, "d": documents})
    np.testing.assert_allclose(engine.predict({"q": queries, "d": documents}, batch_size=2), whole, **CLOSE)


def test_two_recurrent_towers_time_first():
    tensors = {"W": weights(1, 12, 4), "R": weights(1, 12, 3), "z": np.array([0])}
    source = model([node("LSTM", "q W R", "- qh", hidden_size=3), node("LSTM", "d W R", "- dh", hidden_size=3),
                    node("Squeeze", "qh z", "qs"), node("Squeeze", "dh z", "ds"),
                    node("Transpose", "ds", "dt", perm=[1, 0]), node("MatMul", "qs dt", "s")],
                   {"q": ("tq", "nq", 4), "d": ("td", "nd", 4)}, "s", tensors)
    agree(source, {"q": numbers(5, 1, 4), "d": numbers(6, 40, 4)}, {"q": numbers(5, 7, 4), "d": numbers(5, 2, 4)},
          {"q": numbers(2, 3, 4), "d": numbers(2, 3, 4)})


def test_time_first_sequences_with_static_features():
    source = model([node("MatMul", "x K", "e"), node("MatMul", "s L", "sl"), node("Tanh", "sl", "st"),
                    node("Unsqueeze", "st z", "h"), node("GRU", "e W R - - h", "Y Yh", hidden_size=3)],
                   {"x": ("t", "b", 4), "s": ("b", 2)}, "Y Yh",
                   {"K": weights(4, 5), "L": weights(2, 3), "W": weights(1, 9, 5), "R": weights(1, 9, 3),
                    "z": np.array([0])})
    agree(source, {"x": numbers(6, 2, 4), "s": numbers(2, 2)}, {"x": numbers(2, 6, 4), "s": numbers(6, 2)},
          {"x": numbers(3, 3, 4), "s": numbers(3, 2)})


def test_characters_beside_words():
    source = model([node("Gather", "Ec c", "ce"), node("Shape", "ce", "shape"), node("Reshape", "ce flat", "cr"),
                    node("Transpose", "cr", "ct", perm=[1, 0, 2]), node("LSTM", "ct Wc Rc", "- ch", hidden_size=3),
                    node("Squeeze", "ch z", "cs"), node("Slice", "shape z two", "bw"),
                    node("Concat", "bw three", "t", axis=0), node("Reshape", "cs t", "cw"),
                    node("Gather", "Ew w", "we"), node("Concat", "we cw", "cat", axis=2),
                    node("Transpose", "cat", "catt", perm=[1, 0, 2]), node("LSTM", "catt Ww Rw", "Y", hidden_size=3)],
                   {"c": ("int64", ("b", "w", "l")), "w": ("int64", ("b", "w"))}, "Y",
                   {"Ec": weights(9, 2), "Ew": weights(9, 2), "flat": np.array([-1, 4, 2]), "Wc": weights(1, 12, 2),
                    "Rc": weights(1, 12, 3), "z": np.array([0]), "two": np.array([2]), "three": np.array([3]),
                    "Ww": weights(1, 12, 5), "Rw": weights(1, 12, 3)})
    agree(source, *({"c": ids(b, w, 4), "w": ids(b, w)} for b, w in ((2, 3), (1, 1), (5, 2))))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_exported_recurrent_module_whose_state_a_linear_layer_makes(bidirectional):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Stateful(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(4, 5, bidirectional=bidirectional)
            self.state = torch.nn.Linear(3, 5 * (1 + bidirectional))

        def forward(self, x, static):
            state = torch.tanh(self.state(static)).reshape(static.shape[0], -1, 5).transpose(0, 1)
            return self.rnn(x, state)[0]

    torch.manual_seed(0)
    module = Stateful().eval()
    exported = torch.onnx.export(module, (torch.zeros(7, 2, 4), torch.zeros(2, 3)), dynamo=True, verbose=False,
                                 dynamic_shapes=({1: "batch"}, {0: "batch"}))
    engine = le.convert(exported.model_proto)
    for batch in (3, 5, 3, 7, 1, 3):                # torch's exporter fixes the steps of an nn.RNN
        x, static = numbers(7, batch, 4), numbers(batch, 3)
        with torch.no_grad():
            wanted = module(torch.from_numpy(x), torch.from_numpy(static)).numpy()
        np.testing.assert_allclose(engine.predict((x, static)), wanted, **CLOSE)


def test_chains_of_layers_are_one_segment():
    """What rows and lengths keep apart must not cost the models that need no parting."""
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2])]
    tensors = {"one": np.array([1]), "K": weights(3, 3), "W": weights(1, 12, 3), "R": weights(1, 12, 3)}
    last = "t"
    for k in range(3):
        nodes += [node("LSTM", f"{last} W R - {{lengths}}", f"Y{k}", hidden_size=3),
                  node("Squeeze", f"Y{k} one", f"s{k}")]
        last = f"s{k}"

    def segments(lengths: str) -> int:
        made = [node(n.op_type, " ".join((name.format(lengths=lengths) or "-") for name in n.input),
                     " ".join(n.output), **attributes(n)) for n in nodes]
        inputs = {"x": ("batch", "time", 3), **({"l": ("int32", ("batch",))} if lengths == "l" else {})}
        plan = le.convert(model(made, inputs, last, tensors))._plan
        return sum(isinstance(step, Segment) for step in plan.steps)

    assert segments("-") == segments("l") == 1


def attributes(proto: Any) -> dict[str, Any]:
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in proto.attribute}


def test_layers_of_other_rows_keep_their_state_to_themselves():
    engine = le.convert(encoder())
    feed = {"source": numbers(5, 3, 2), "x": numbers(3, 4, 2)}
    _, states = engine.predict(feed, return_state=True)
    (state,) = states.values()
    assert state["h"].shape == (3, 1, 2)
    towers = le.convert(two_lstms())
    same = {"q": numbers(3, 4, 4), "d": numbers(3, 4, 4)}
    assert {name: part["h"].shape for name, part in towers.predict(same, return_state=True)[1].items()} \
        == {"lstm_q": (3, 1, 3), "lstm_d": (3, 1, 3)}
    other = {"q": numbers(3, 4, 4), "d": numbers(2, 4, 4)}
    with pytest.raises(le.UnsupportedError, match="layer 'lstm_d' runs on 2 rows, not over the batch of 3"):
        towers.predict(other, return_state=True)


def two_lstms() -> Any:
    return model([node("Transpose", "q", "qt", perm=[1, 0, 2]), node("Transpose", "d", "dt", perm=[1, 0, 2]),
                  node("LSTM", "qt W R", "qY", name="lstm_q", hidden_size=3),
                  node("LSTM", "dt W R", "dY", name="lstm_d", hidden_size=3)],
                 {"q": ("nq", "tq", 4), "d": ("nd", "td", 4)}, "qY dY",
                 {"W": weights(1, 12, 4), "R": weights(1, 12, 3)})


@pytest.mark.parametrize("call", [
    lambda m, x: m.predict(x, lengths={"q": [1, 2, 4]}),
    lambda m, x: m.predict({"q": list(x["q"]), "d": list(x["d"])}),
])
def test_lengths_of_two_row_counts_are_right_or_refused(call: Callable):
    """The documents' rows are not the batch: what is said of it must not be applied to them."""
    engine, feed = le.convert(two_lstms()), {"q": numbers(3, 4, 4), "d": numbers(3, 4, 4)}
    whole = engine.predict(feed)
    try:
        made = call(engine, feed)
    except le.LstmEngineError:
        return
    np.testing.assert_array_equal(made["dY"], whole["dY"])
