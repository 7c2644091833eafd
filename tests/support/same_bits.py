"""Networks, and the circumstances that must not change a single bit of what they compute for a sequence.

A circumstance takes a model, its input and random numbers, runs the same sequences in another way, and compares every
bit with the plain run: the whole batch at once, one thread. It returns False where it does not apply.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import lstm_engine as le
from lstm_engine import _core
from lstm_engine.running.execute import execute
from lstm_engine.running.inputs import check_inputs

ISAS = tuple(le.info()["isas"])
WEIGHTS = ("float32", "float16", "bfloat16", "int8", "int8_weights", "mixed")
VOCABULARY = 30


class Weights:
    """Random weights of layers one above the other, as PyTorch initialises them."""

    def __init__(self, rng: np.random.Generator, features: int, hidden: int) -> None:
        self.rng, self.features, self.hidden = rng, features, hidden

    def array(self, *shape: int) -> np.ndarray:
        bound = self.hidden**-0.5
        return self.rng.uniform(-bound, bound, shape).astype(np.float32)

    def recurrent(self, kind: type, **options):
        gates = {le.LSTM: 4, le.GRU: 3, le.RNN: 1}[kind]
        dirs, H = 1 + (options.get("direction") == "bidirectional"), self.hidden
        out = options["projection"].shape[1] if "projection" in options else H
        layer = kind(self.array(dirs, gates * H, self.features), self.array(dirs, gates * H, out),
                     self.array(dirs, 2 * gates * H), **options)
        self.features = dirs * out
        return layer

    def projected(self, **options):
        return self.recurrent(le.LSTM, projection=self.array(1, max(1, self.hidden // 2), self.hidden), **options)

    def dense(self, units: int, activation: str):
        layer = le.Dense(self.array(self.features, units), self.array(units), activation)
        self.features = units
        return layer


NETWORKS: dict[str, Callable[[Weights], list]] = {
    "lstm": lambda w: [w.recurrent(le.LSTM)],
    "lstm reverse": lambda w: [w.recurrent(le.LSTM, direction="reverse")],
    "lstm bidirectional": lambda w: [w.recurrent(le.LSTM, direction="bidirectional")],
    "lstm peepholes": lambda w: [w.recurrent(le.LSTM, P=w.array(1, 3 * w.hidden), clip=2.0)],
    "lstm coupled, hard sigmoid": lambda w: [w.recurrent(le.LSTM, input_forget=True,
                                                         activations=["hard_sigmoid", "softsign", "elu"])],
    "lstm cell clip": lambda w: [w.recurrent(le.LSTM, cell_clip=0.5)],
    "lstm projection": lambda w: [w.projected()],
    "gru reset after": lambda w: [w.recurrent(le.GRU, linear_before_reset=True)],
    "gru reset before": lambda w: [w.recurrent(le.GRU)],
    "gru relu": lambda w: [w.recurrent(le.GRU, activations=["sigmoid", "relu"], clip=3.0)],
    "gru bidirectional": lambda w: [w.recurrent(le.GRU, direction="bidirectional", linear_before_reset=True)],
    "rnn": lambda w: [w.recurrent(le.RNN)],
    "rnn gelu": lambda w: [w.recurrent(le.RNN, activations=["gelu"])],
    "stack": lambda w: [w.recurrent(le.LSTM), w.recurrent(le.GRU), w.recurrent(le.RNN)],
    "stack of ways": lambda w: [w.recurrent(le.LSTM), w.recurrent(le.GRU, direction="bidirectional"),
                                w.recurrent(le.LSTM, direction="reverse")],
    "softmax of every step": lambda w: [w.recurrent(le.LSTM), w.dense(w.hidden + 3, "softmax")],
    "dense of the last step": lambda w: [w.recurrent(le.GRU, return_sequences=False), w.dense(w.hidden + 1, "sigmoid"),
                                         w.dense(5, "softmax")],
    "tokens": lambda w: [le.Embedding(w.array(VOCABULARY, w.features)), w.recurrent(le.LSTM),
                         w.dense(VOCABULARY, "softmax")],
    "mean of the steps": lambda w: [w.recurrent(le.LSTM), le.Pool("mean"), w.dense(3, "log_softmax")],
    "largest of the steps": lambda w: [w.recurrent(le.RNN), le.Pool("max")],
}


@dataclass(frozen=True)
class Network:
    kind: str
    features: int
    hidden: int
    batch: int
    time: int
    seed: int
    weights: str = "float32"        # a type of `le.quantize`, or "mixed": each layer has another

    def model(self, isa: str) -> le.Model:
        le.set_isa(isa)
        try:
            model = le.Model(NETWORKS[self.kind](Weights(np.random.default_rng(self.seed), self.features, self.hidden)))
            return model if self.weights == "float32" else quantized(model, self.weights)
        finally:
            le.set_isa(None)

    def input(self) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 1])
        if self.kind == "tokens":
            return rng.integers(0, VOCABULARY, (self.batch, self.time)).astype(np.int32)
        return rng.standard_normal((self.batch, self.time, self.features)).astype(np.float32)


def quantized(model: le.Model, weights: str) -> le.Model:
    if weights != "mixed":
        return le.quantize(model, weights)
    layers = [node.name for node in model.graph.nodes if hasattr(node, "W") or hasattr(node, "kernel")]
    return le.quantize(model, "int8", layers=dict(zip(layers, itertools.cycle(["bfloat16", "int8", "float32"]))))


# ---- running and comparing ---------------------------------------------------------------------------------

def run(model: le.Model, x, lengths=None, *, threads: int = 1, split: str = "rows", block_steps: int = 0) -> np.ndarray:
    """What predict does, with every choice of how the work is dealt."""
    checked = check_inputs(model._plan.inputs, model._plan.axes, x, lengths)
    return execute(model._runner, checked.arrays, checked.batch, lengths=checked.lengths, state_in={}, state_out={},
                   threads=threads, split=split, block_steps=block_steps)["output"]


def differing(got: np.ndarray, wanted: np.ndarray) -> int:
    """How many elements differ in any bit."""
    assert got.shape == wanted.shape and got.dtype == wanted.dtype == np.float32, (got.shape, wanted.shape)
    return int((np.ascontiguousarray(got).view(np.uint32) != np.ascontiguousarray(wanted).view(np.uint32)).sum())


class Differs(AssertionError):
    """The same sequence gave other bits."""


def same(got: np.ndarray, wanted: np.ndarray, how: str) -> None:
    count = differing(got, wanted)
    if count:
        raise Differs(f"{how}: {count} of {got.size} elements differ")


def is_sequence(model: le.Model) -> bool:
    return len(model.outputs["output"].shape) == 3


def cut(y: np.ndarray, row: int, length: int, sequence: bool) -> np.ndarray:
    """The real part of one row of an output."""
    return y[row, :length] if sequence else y[row]


def is_causal(model: le.Model) -> bool:
    """Whether every layer runs step by step."""
    try:
        model.stream().close()
    except le.UnsupportedError:
        return False
    return True


# ---- circumstances ------------------------------------------------------------------------------------------

def batch_size(model, x, rng):
    """Rows alone, and in batches of every size."""
    wanted = run(model, x)
    for size in {1, 2, 3, len(x) // 2 + 1}:
        for start in range(0, len(x), size):
            same(run(model, x[start:start + size]), wanted[start:start + size], f"rows {start} on, {size} at a time")
    same(model.predict(x, batch_size=2), wanted, "predict with batch_size=2")


def row(model, x, rng):
    """The rows in another order, and every row several times."""
    wanted = run(model, x)
    order = rng.permutation(np.concatenate([np.arange(len(x)), rng.integers(0, len(x), 7)]))
    same(run(model, x[order]), wanted[order], f"rows in the order {order}")


def padding(model, x, rng):
    """Sequences of unequal length in a padded array, the padding NaN or the largest id, against each one on its own."""
    steps = x.shape[1]
    lengths = rng.integers(0, steps + 1, len(x))
    wide = np.concatenate([x, x[:, :3]], axis=1)
    wide[np.arange(wide.shape[1]) >= lengths[:, None]] = np.nan if x.ndim == 3 else VOCABULARY - 1
    sequence = is_sequence(model)
    for threads, split in ((1, "rows"), (2, "rows"), (2, "units"), (2, "layers")):
        padded = run(model, wide, lengths, threads=threads, split=split)
        for i, length in enumerate(lengths):
            alone = run(model, x[i:i + 1, :length])
            same(cut(padded, i, length, sequence), cut(alone, 0, length, sequence), f"row {i}, {length} steps, padded")
            if sequence and padded[i, length:].any():
                raise Differs(f"row {i}: the output past its end is not 0")
    for i, mine in enumerate(model.predict([own[:length] for own, length in zip(x, lengths, strict=True)])):
        same(mine, cut(padded, i, lengths[i], sequence), f"row {i} of length {lengths[i]}, from a list")


def neighbours(model, x, rng):
    """NaN, Inf and huge numbers in the other rows; for ids, other ids."""
    wanted = run(model, x)
    for strange in (np.nan, np.inf, -np.inf, 1e38):
        others = rng.random(len(x)) < 0.5
        mixed = x.copy()
        if x.ndim == 3:
            mixed[others] = strange
        else:
            mixed[others] = rng.integers(0, VOCABULARY, mixed[others].shape)
        for threads, split in ((1, "rows"), (2, "units"), (2, "layers")):
            got = run(model, mixed, threads=threads, split=split)
            same(got[~others], wanted[~others], f"beside rows of {strange}")


def chunks(model, x, rng):
    """A stream fed step by step and in pieces; predict with the state handed on."""
    if not is_causal(model):
        return False
    sequence = is_sequence(model)
    wanted = run(model, x)
    for way in ("pieces", "steps", "predict"):
        made, state, start = [], None, 0
        with model.stream(batch=len(x)) as stream:
            while start < x.shape[1]:
                size = 1 if way == "steps" else int(rng.integers(1, 5))
                piece = x[:, start:start + size]
                start += size
                if way == "steps":
                    made.append(stream.step(np.ascontiguousarray(piece[:, 0]))[:, None])
                elif way == "pieces":
                    made.append(stream.run(piece))
                else:
                    y, state = model.predict(piece, initial_state=state, return_state=True)
                    made.append(y if sequence else y[:, None])
        joined = np.concatenate(made, axis=1)
        same(joined if sequence else joined[:, -1], wanted, f"in chunks, {way}")
    return True


def threads(model, x, rng):
    """1 to 5 threads, rows, units or layers dealt."""
    wanted = run(model, x)
    for count in (1, 2, 3, 5):
        for split in ("auto", "rows", "units", "layers"):
            same(run(model, x, threads=count, split=split), wanted, f"{count} threads, {split} dealt")


def late_threads(model, x, rng):
    """Threads that are delayed, or stop between pieces of work: by less than a thread group waits, and by more."""
    wanted = run(model, x)
    for longest in (20_000, 200_000):
        _core.delay_threads(longest)
        try:
            for count in (2, 3, 5):
                for split in ("rows", "units", "layers"):
                    same(run(model, x, threads=count, split=split), wanted,
                         f"{count} threads, {split} dealt, up to {longest} ns late")
        finally:
            _core.delay_threads(0)


def time_blocks(model, x, rng):
    """Blocks of time of every length."""
    wanted = run(model, x)
    for steps in (1, 2, 3, 5, x.shape[1], x.shape[1] + 9):
        for split in ("rows", "units", "layers"):
            same(run(model, x, threads=2, split=split, block_steps=steps), wanted, f"{steps} steps a block, {split}")


def runs(model, x, rng):
    """The same call again, after calls of other shapes, and from a copy of the model."""
    wanted = run(model, x)
    run(model, x[:1, :1])
    run(model, np.concatenate([x, x]), threads=2)
    same(run(model, x), wanted, "the second run")
    same(model.predict(x), wanted, "predict")
    copy = pickle.loads(pickle.dumps(model))
    if copy.isa == model.isa:
        same(copy.predict(x), wanted, "a pickled model")


def memory_order(model, x, rng):
    """The same numbers in Fortran order, reversed in memory, big-endian, wider, or cut out of a larger array."""
    wanted = run(model, x)
    wider = np.float64 if x.ndim == 3 else np.int64
    ways = {"Fortran order": np.asfortranarray(x), "negative strides": np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
            "big-endian": x.astype(x.dtype.newbyteorder(">")), "wider": x.astype(wider),
            "cut out": np.concatenate([x, x], axis=1)[:, :x.shape[1]], "read-only": x.copy()}
    ways["read-only"].flags.writeable = False
    for way, array in ways.items():
        same(model.predict(array), wanted, way)


def masked_steps(model, x, rng):
    """Steps with a NaN under nan="mask", against the sequence without them."""
    if x.ndim != 3 or not is_sequence(model):
        return False
    missing = rng.random(x.shape[:2]) < 0.4
    holed = x.copy()
    holed[missing, 0] = np.nan
    y = model.predict(holed, nan="mask")
    for i in range(len(x)):
        same(y[i, ~missing[i]], run(model, x[i:i + 1, ~missing[i]])[0], f"row {i} without its missing steps")
    return True


def layout(model, x, rng):
    """le.ops in both of ONNX's layouts, against the model."""
    node = model.graph.nodes[0]
    if len(model.graph.nodes) > 1 or model.quantization is not None or x.ndim != 3 or node.op == "LSTM" and (
            node.projection is not None or node.cell_clip is not None) or not is_sequence(model):
        return False
    flat = [function for functions in node.activations for function in functions]
    options = dict(direction=node.direction, clip=node.clip, activations=[function.name for function in flat],
                   activation_alpha=[f.alpha for f in flat if f.alpha is not None],
                   activation_beta=[f.beta for f in flat if f.beta is not None])
    if node.op == "LSTM":
        options |= dict(P=node.P, input_forget=int(node.input_forget))
    if node.op == "GRU":
        options["linear_before_reset"] = int(node.linear_before_reset)
    operator = {"LSTM": le.ops.lstm, "GRU": le.ops.gru, "RNN": le.ops.rnn}[node.op]
    wanted = run(model, x).reshape(*x.shape[:2], node.dirs, node.hidden)
    le.set_isa(model.isa)
    try:
        batch_first = operator(x, node.W, node.R, node.B, layout=1, **options)
        time_first = operator(np.ascontiguousarray(x.swapaxes(0, 1)), node.W, node.R, node.B, **options)
    finally:
        le.set_isa(None)
    same(batch_first[0], wanted, "layout 1")
    same(time_first[0].transpose(2, 0, 1, 3), wanted, "layout 0")
    for one, other in zip(batch_first[1:], time_first[1:], strict=True):
        same(other.swapaxes(0, 1), one, "the states of layout 0")
    return True


CIRCUMSTANCES = {"batch size": batch_size, "row": row, "padding": padding, "neighbours": neighbours, "chunks": chunks,
                 "threads": threads, "late threads": late_threads, "time blocks": time_blocks, "runs": runs,
                 "memory order": memory_order, "missing steps": masked_steps, "layout": layout}
