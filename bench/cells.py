"""The catalogue of cells: what is timed, by name ("lstm/H128-B8-T50"), chosen with shell patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache, partial
from pathlib import Path
from zlib import crc32

import numpy as np

from lstm_engine.graph import Graph

from . import networks
from .voices import VOICES, Voice

REAL = (
    Path(__file__).resolve().parents[2] / "shared" / "real"
)  # checkpoints made by others, beside the project
GRID_BATCH, GRID_HIDDEN, GRID_STEPS = (1, 8, 32, 128), (32, 64, 128, 256, 512, 1024), (1, 50)
# Stacks of so many layers of so many units, one step at a time: what makers of accelerators publish latencies of.
LADDER = ((2, 128), (3, 256), (3, 480), (6, 320), (3, 960))
PREDICT, STREAM, LENGTHS, VOICE = "predict", "stream", "lengths", "voice"
STREAM_CHECK_STEPS = 16
TRAINED = ("real", "voice")


@dataclass(frozen=True)
class Case:
    """What an engine is given: a graph, inputs by name (batch first), lengths [batch] or None.

    voice: of a VOICE cell; its input is [steps, ...], what the model takes step by step.
    """

    graph: Graph
    inputs: dict[str, np.ndarray]
    lengths: np.ndarray | None = None
    voice: Voice | None = None


@dataclass(frozen=True)
class Cell:
    """One thing to time. `network` names what cells of several shapes share; `kind` says how it is called.

    PREDICT: one call on the whole batch. STREAM: one step with carried state. LENGTHS: unequal sequences, of the
    lengths that `lengths(batch, steps)` gives. VOICE: one step of a model whose states are inputs and outputs.
    """

    name: str
    network: str
    batch: int
    inputs: int
    hidden: int
    steps: int
    graph: Callable[[], Graph]
    data: Callable[[Graph], dict[str, np.ndarray]]
    kind: str = PREDICT
    lengths: Callable[[int, int], np.ndarray] | None = None
    voice: Voice | None = None

    @property
    def group(self) -> str:
        return self.name.split("/")[0]

    @property
    def trained(self) -> bool:
        """Whether its weights are those of a trained model, not random ones."""
        return self.group in TRAINED

    def case(self) -> Case:
        graph = self.graph()
        lengths = self.lengths(self.batch, self.steps) if self.lengths else None
        return Case(graph, self.data(graph), lengths, self.voice)


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(crc32(name.encode()))


def _random_graph(make: Callable[[np.random.Generator], Graph], network: str) -> Graph:
    return make(_rng(network))


def _random_data(graph: Graph, name: str, batch: int, steps: int) -> dict[str, np.ndarray]:
    """Normal numbers, or ids below the size of the table that reads them."""
    rng = _rng(name)
    data: dict[str, np.ndarray] = {}
    for value in graph.inputs:
        if value.dtype == "int32":
            table = next(node for node in graph.nodes if value.name in node.inputs).tensors()["table"]
            data[value.name] = rng.integers(0, len(table), (batch, steps), dtype=np.int32)
        else:
            shape = (batch, steps)[: len(value.shape) - 1] + (int(value.shape[-1]),)
            data[value.name] = rng.standard_normal(shape, dtype=np.float32)
    return data


def random_cell(
    name: str,
    network: str,
    make: Callable[[np.random.Generator], Graph],
    batch: int,
    inputs: int,
    hidden: int,
    steps: int,
    kind: str = PREDICT,
    lengths: Callable[[int, int], np.ndarray] | None = None,
) -> Cell:
    """A cell with random weights and input; the same for everyone who asks for the name."""
    return Cell(
        name,
        network,
        batch,
        inputs,
        hidden,
        steps,
        partial(_random_graph, make, network),
        partial(_random_data, name=name, batch=batch, steps=STREAM_CHECK_STEPS if kind == STREAM else steps),
        kind,
        lengths,
    )


def layer_cell(
    group: str, kind: str, hidden: int, batch: int, steps: int, call: str = PREDICT, **options
) -> Cell:
    """Recurrent layers with I = H."""
    make = partial(networks.layers, kind=kind, features=hidden, hidden=hidden, **options)
    return random_cell(
        f"{group}/H{hidden}-B{batch}-T{steps}", f"{group}/H{hidden}", make, batch, hidden, hidden, steps, call
    )


def unequal_lengths(batch: int, longest: int) -> np.ndarray:
    """[batch] int32: quantiles of the log-normal whose mean is a quarter of the longest, shuffled."""
    from statistics import NormalDist

    normal = np.array([NormalDist().inv_cdf((i + 0.5) / batch) for i in range(batch)])
    low, high = 0.0, 3.0
    for _ in range(60):  # mean/longest falls with sigma
        sigma = (low + high) / 2
        draws = np.exp(sigma * normal)
        low, high = (sigma, high) if draws.mean() > draws.max() / 4 else (low, sigma)
    lengths = np.maximum(1, np.rint(draws / draws.max() * longest)).astype(np.int32)
    return _rng("lengths").permutation(lengths)


def uniform_lengths(batch: int, longest: int) -> np.ndarray:
    """[batch] int32: evenly spread from 1 to the longest, shuffled; their mean is half of it."""
    return _rng("lengths").permutation(np.rint(np.linspace(1, longest, batch)).astype(np.int32))


def _grid() -> Iterable[Cell]:
    for hidden in GRID_HIDDEN:
        for batch in GRID_BATCH:
            for steps in GRID_STEPS:
                yield layer_cell("lstm", "lstm", hidden, batch, steps)


def _variations() -> Iterable[Cell]:
    for group, kind, options in (
        ("stack", "lstm", {"depth": 2}),
        ("bidirectional", "lstm", {"direction": "bidirectional"}),
    ):
        for hidden in (64, 128, 256):
            for batch in (1, 8, 32):
                yield layer_cell(group, kind, hidden, batch, 50, **options)
    for hidden in (100, 50, 30):
        for batch in (1, 32):
            yield layer_cell("odd", "lstm", hidden, batch, 50)
    for steps in (13, 200):  # few rows beside weights that are in no core's own cache
        yield layer_cell("odd", "lstm", 640, 3, steps)
    for hidden in GRID_HIDDEN[1:]:
        for batch in GRID_BATCH[:3]:
            for steps in GRID_STEPS:
                yield layer_cell("gru", "gru", hidden, batch, steps)
            yield layer_cell("gru-stream", "gru", hidden, batch, 1, STREAM)
    # The single steps of the grid begin with a zero state, which spares the product with it: these carry theirs on.
    for hidden in GRID_HIDDEN:
        for batch in GRID_BATCH:
            yield layer_cell("stream", "lstm", hidden, batch, 1, STREAM)
    for depth, hidden in LADDER:
        make = partial(networks.layers, kind="lstm", features=hidden, hidden=hidden, depth=depth, units=32)
        name = f"{depth}x{hidden}"
        yield random_cell(f"ladder/{name}-B1-T1", f"ladder/{name}", make, 1, hidden, hidden, 1, STREAM)
    make = partial(networks.layers, kind="lstm", features=128, hidden=128)
    for title, lengths in (("", unequal_lengths), ("uniform-", uniform_lengths)):
        name = f"lengths/{title}H128-B64-T256"
        yield random_cell(name, "lengths/H128", make, 64, 128, 128, 256, LENGTHS, lengths)


def _neighbour() -> Iterable[Cell]:
    """What bench.neighbours times beside other processes."""
    for steps in (13, 50):
        for batch in (1, 8, 17, 32, 128):
            for hidden in (64, 96, 128, 256):
                yield layer_cell("neighbour", "lstm", hidden, batch, steps)
    yield layer_cell("neighbour", "lstm", 128, 1, 1, STREAM)


def _exotic() -> Iterable[Cell]:
    """Cells off the common path."""
    for kind in networks.EXOTIC:
        for hidden in (64, 256):
            for batch in (1, 8, 32):
                name = f"exotic/{kind}-H{hidden}-B{batch}-T50"
                make = partial(networks.exotic, kind=kind, hidden=hidden)
                yield random_cell(name, f"exotic/{kind}-H{hidden}", make, batch, hidden, hidden, 50)


def _scaling() -> Iterable[Cell]:
    """Time over the length, and plain products over rows, inputs and units."""
    for batch in (1, 32):
        for steps in (1, 5, 20, 100, 400):
            yield layer_cell("steps", "lstm", 128, batch, steps)
    for rows in (1, 8, 64, 512):
        for inputs, units in ((128, 512), (512, 512), (1024, 4096), (256, 10000)):
            make = partial(networks.product, inputs=inputs, units=units)
            yield random_cell(
                f"product/M{rows}-K{inputs}-N{units}",
                f"product/K{inputs}-N{units}",
                make,
                rows,
                inputs,
                units,
                1,
            )


def _references() -> Iterable[Cell]:
    for batch in (128, 1):
        yield random_cell(
            f"reference/sentiment-B{batch}-T500", "sentiment", networks.sentiment, batch, 100, 100, 500
        )
    yield random_cell(
        "reference/sequences-states-B32-T30", "sequences", networks.sequences_and_states, 32, 128, 128, 30
    )
    yield random_cell("reference/translator-B32-T20", "translator", networks.translator, 32, 128, 256, 20)
    yield random_cell(
        "reference/language-model-B32-T64", "language", networks.language_model, 32, 128, 256, 64
    )
    yield random_cell("reference/frames-relu-B32-T28", "frames", networks.frames, 32, 784, 128, 28)
    yield random_cell("reference/tagger-B64-T40", "tagger", networks.tagger, 64, 64, 128, 40)


@cache
def _imported(path: Path) -> Graph:
    from lstm_engine.importers import import_graph

    return import_graph(path)


def _stored(graph: Graph, path: Path, key: str, batch: int) -> dict[str, np.ndarray]:
    """The input stored beside a checkpoint, its rows repeated to `batch`."""
    with np.load(path) as arrays:
        rows = arrays[key]
    return {graph.inputs[0].name: np.ascontiguousarray(np.resize(rows, (batch, *rows.shape[1:])))}


# title, checkpoint, stored input and its key, features, hidden, steps, batches
_CHECKPOINTS = (
    ("activities", "har_keras3/lstm_model.keras", "har_keras3/golden.npz", "x", 6, 128, 100, (1, 8, 64)),
    (
        "sentences",
        "tract_onnx/byte_sb_bidi_lstm/model.onnx",
        "tract_onnx/byte_sb_bidi_lstm/io.npz",
        "input",
        32,
        128,
        58,
        (1, 2, 32),
    ),
    (
        "streamflow-256",
        "noaa_lstm/old/data__camels_trained_test.pt",
        "noaa_lstm/golden.npz",
        "data__camels_trained_test/x",
        11,
        256,
        168,
        (1, 2),
    ),
    (
        "streamflow-126",
        "noaa_lstm/old/nh_AORC_hourly_25yr_seq444_seed101_2601_172004__model_epoch006.pt",
        "noaa_lstm/golden.npz",
        "nh_AORC_hourly_25yr_seq444_seed101_2601_172004__model_epoch006/x",
        10,
        126,
        168,
        (1, 2),
    ),
)


def _real() -> Iterable[Cell]:
    """Trained models of others, where their checkpoints are at hand."""
    for title, checkpoint, stored, key, features, hidden, steps, batches in _CHECKPOINTS:
        if (REAL / checkpoint).is_file() and (REAL / stored).is_file():
            for batch in batches:
                yield Cell(
                    f"real/{title}-B{batch}-T{steps}",
                    f"real/{title}",
                    batch,
                    features,
                    hidden,
                    steps,
                    partial(_imported, REAL / checkpoint),
                    partial(_stored, path=REAL / stored, key=key, batch=batch),
                )


def _voice_frames(graph: Graph, voice: Voice) -> dict[str, np.ndarray]:
    return {voice.frame: voice.frames(REAL)[:STREAM_CHECK_STEPS].astype(np.float32)}


def _voices() -> Iterable[Cell]:
    """Single streams of trained models as their files are, for the engines that read ONNX."""
    for voice in VOICES:
        if (REAL / voice.file).is_file():
            yield Cell(
                f"voice/{voice.title}",
                f"voice/{voice.title}",
                1,
                voice.features,
                voice.hidden,
                1,
                partial(_imported, REAL / voice.file),
                partial(_voice_frames, voice=voice),
                VOICE,
                voice=voice,
            )


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Cell]:
    """All cells by name, in the order in which they are printed."""
    cells = [*_grid(), *_variations(), *_neighbour(), *_exotic(), *_scaling(), *_references(), *_real(), *_voices()]
    return {cell.name: cell for cell in cells}


def choose(patterns: Iterable[str]) -> list[Cell]:
    """The cells whose name matches one of the shell patterns; a group's name alone means all of it.

    Raises ValueError for a pattern that matches nothing.
    """
    chosen: dict[str, Cell] = {}
    for pattern in patterns:
        names = [name for name in catalogue() if fnmatchcase(name, pattern) or name.split("/")[0] == pattern]
        if not names:
            groups = ", ".join(dict.fromkeys(cell.group for cell in catalogue().values()))
            raise ValueError(f"no cell matches {pattern!r}; groups are {groups} (--list prints all names)")
        chosen |= {name: catalogue()[name] for name in names}
    return list(chosen.values())
