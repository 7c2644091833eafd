"""What trained models are for, with data and a measure of how well they do it: what quantising them costs.

A Task is a model, or two, and a function that runs it over its data in batches of a given number of rows.
"""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import onnx

import lstm_engine as le
from lstm_engine.errors import AssumptionWarning

from .cells import REAL
from .engines.base import NotSupported, time_first
from .onnx_models import house_order, onnx_model
from .task_models import phoneme_graphs, textgenrnn_onnx, word_segmentation
from .voices import VOICES, Voice, stepped

ROOT = Path(__file__).resolve().parents[1]
DEMO, TAGGER = ROOT / "lstm_engine" / "demo_data", ROOT / "examples" / "tagger_onnx"
Arrays = dict[str, np.ndarray]
Call = Callable[[Arrays], Arrays]


@dataclass
class Part:
    """A model that a task runs. stored: the ONNX file that it came from; else it is written as one, time first."""

    model: le.Model
    stored: onnx.ModelProto | None = None

    def proto(self) -> onnx.ModelProto:
        """Raises NotSupported for a graph that bench/onnx_models.py cannot write."""
        if self.stored is not None:
            return self.stored
        try:
            return onnx_model(self.model.graph)
        except (AssertionError, KeyError) as error:
            raise NotSupported(f"no ONNX model of it: {error}") from error

    def feeds(self, inputs: Arrays) -> Arrays:
        """Inputs, as predict takes them, as `proto` takes them."""
        if self.stored is not None:
            return inputs
        feeds = {name: time_first(x if x.dtype.kind == "f" else x.astype(np.int32)) for name, x in inputs.items()}
        # States that go straight into a recurrent operator have ONNX's axis of directions.
        return {name: x[None] if x.ndim < self._ranks[name] else x for name, x in feeds.items()}

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {value.name: len(value.type.tensor_type.shape.dim) for value in self.proto().graph.input}

    def outputs(self, made: list[np.ndarray]) -> Arrays:
        graph = self.model.graph
        return dict(zip(graph.outputs, made)) if self.stored is not None else house_order(graph, made)


@dataclass
class Done:
    """outputs: [.., classes] each, in the order of the data. score: how well the task was done."""

    outputs: list[np.ndarray]
    score: float | None = None


@dataclass(frozen=True)
class Task:
    """sizes: the batches that its data allow. measure: what `score` counts. decides: outputs are classes to choose
    from, or the probability of one. relative: it is the score's relative change that matters."""

    name: str
    parts: Callable[[], tuple[Part, ...]]
    run: Callable[[tuple[Call, ...], int], Done]
    measure: str = ""
    sizes: tuple[int, ...] = (1, 32)
    decides: bool = True
    relative: bool = True


def _file(path: Path, **options) -> tuple[Part, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)  # what weights alone leave open, the scores settle
        model = le.convert(path, **options) if options else le.load(path)
    return (Part(model, onnx.load(path) if path.suffix == ".onnx" else None),)


def _cut(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start:start + size]


def _only(call: Call, name: str, x: np.ndarray) -> np.ndarray:
    return next(iter(call({name: x}).values()))


def _nats(probabilities: np.ndarray, ids: np.ndarray) -> float:
    """Mean -ln p of `ids`."""
    chosen = np.take_along_axis(probabilities, ids[..., None], axis=-1)
    return float(-np.log(np.maximum(chosen.astype(np.float64), 1e-30)).mean())


def _shakespeare() -> Task:
    """Windows of 256 characters from the last tenth of the text, which the model was not trained on."""
    def run(calls: tuple[Call, ...], size: int) -> Done:
        with np.load(DEMO / "shakespeare.npz") as stored:
            index = {chr(code): i for i, code in enumerate(stored["charset"])}
        text = (REAL / "ds_tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
        ids = np.array([index[character] for character in text[len(text) * 9 // 10:]], np.int32)
        windows = ids[:64 * 256].reshape(64, 256)
        outputs = [_only(calls[0], "characters", rows) for rows in _cut(windows, size)]
        return Done(outputs, _nats(np.concatenate(outputs)[:, :-1], windows[:, 1:]))

    return Task("Shakespeare (demo)", lambda: _file(DEMO / "shakespeare.keras"), run, "nats/character")


def _forecast() -> Task:
    def run(calls: tuple[Call, ...], size: int) -> Done:
        with np.load(DEMO / "forecast.npz") as stored:
            data = dict(stored)
        window, season, scale = data["window"], int(data["season"]), float(data["scale"])
        x = ((window[:, season:] - window[:, :-season]) / scale)[..., None].astype(np.float32)
        outputs = [_only(calls[0], "input", rows) for rows in _cut(x, size)]
        return Done(outputs, float(np.abs(data["naive"] + scale * np.concatenate(outputs) - data["truth"]).mean()))

    return Task("CO2 forecast (demo)", lambda: _file(DEMO / "forecast.pt", pool="last"), run, "mean error, ppm",
                (1, 8), decides=False)


def _dates() -> Task:
    def run(calls: tuple[Call, ...], size: int) -> Done:
        with np.load(DEMO / "dates.npz") as stored:
            rows = np.split(stored["ids"], np.cumsum(stored["lengths"])[:-1])
            wanted = stored["logits"].argmax(axis=-1)
        outputs = [_only(calls[0], "characters", row[None]) for row in rows]
        found = np.concatenate([y[0].argmax(axis=-1) for y in outputs])
        return Done(outputs, float((found == wanted).mean()))

    return Task("dates (demo)", lambda: _file(DEMO / "dates.onnx"), run, "labels as in float32", (1,))


def _tagger() -> Task:
    """Sentences of the development set, those of one length in a batch."""
    def run(calls: tuple[Call, ...], size: int) -> Done:
        with np.load(TAGGER / "tagger.npz") as stored:
            words = {word: i for i, word in enumerate(stored["words"].tolist())}
            tags = {tag: i for i, tag in enumerate(stored["tags"].tolist())}
        by_length = defaultdict(list)
        for sentence in _conllu(REAL / "ds_ud_en_atis" / "en_atis-ud-dev.conllu"):
            by_length[len(sentence)].append(sentence)
        outputs, right, count = [], 0, 0
        for group in by_length.values():
            ids = np.array([[words.get(word, 0) for word, _ in sentence] for sentence in group])
            truth = np.array([[tags.get(tag, -1) for _, tag in sentence] for sentence in group])
            made = [_only(calls[0], "words", rows) for rows in _cut(ids, size)]
            right, count = right + int((np.concatenate(made).argmax(-1) == truth).sum()), count + truth.size
            outputs += made
        return Done(outputs, right / count)

    return Task("tagger, UD ATIS dev", lambda: _file(TAGGER / "tagger.onnx"), run, "tagged right")


def _conllu(path: Path) -> Iterator[list[tuple[str, str]]]:
    """Sentences of (word, tag)."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        fields = [line.split("\t") for line in block.splitlines() if line and not line.startswith("#")]
        if fields:
            yield [(field[1], field[3]) for field in fields if field[0].isdigit()]


def _stored(name: str, file: str, archive: str, key: str, sizes: tuple[int, ...], *, decides: bool = True) -> Task:
    """A model on the inputs stored beside it."""
    def run(calls: tuple[Call, ...], size: int) -> Done:
        with np.load(REAL / archive) as stored:
            x = stored[key]
        graph_input = "input" if not file.endswith(".keras") else _keras_input(REAL / file)
        return Done([_only(calls[0], graph_input, rows) for rows in _cut(x, size)])

    return Task(name, lambda: _file(REAL / file), run, sizes=sizes, decides=decides)


@cache
def _keras_input(path: Path) -> str:
    return next(iter(le.load(path).inputs))


def _streamflow(stem: str) -> Task:
    return _stored(f"streamflow {stem[:22]}", f"noaa_lstm/old/{stem}.pt", "noaa_lstm/golden.npz", f"{stem}/x", (1, 2),
                   decides=False)


def _voice(voice: Voice) -> Task:
    """The whole recording, a frame at a time."""
    def run(calls: tuple[Call, ...], size: int) -> Done:
        graph = le.load(REAL / voice.file).graph
        made = stepped(calls[0], graph, voice.frame, voice.frames(REAL), voice.carried)
        output = next(iter(made.values()))
        return Done([output], float(np.abs(output - voice.wanted(REAL).reshape(output.shape)).max()))

    return Task(voice.title, lambda: _file(REAL / voice.file), run, "most from golden", (1,),
                decides=voice.title == "silero", relative=False)


def _own_kind() -> np.ndarray:
    """[37, 40] ids, windows one character apart."""
    with np.load(REAL / "textgenrnn" / "golden.npz") as stored:
        return stored["ids"]


def _reviews() -> np.ndarray:
    """[1000, 40] ids of film reviews, windows one character apart."""
    known = json.loads((REAL / "textgenrnn" / "textgenrnn_vocab.json").read_text(encoding="utf-8"))
    text = (REAL / "ds_rt_polarity" / "rt-polarity.pos").read_text(encoding="latin-1")
    ids = np.array([known.get(character, 0) for character in text[:1039]])
    return np.lib.stride_tricks.sliding_window_view(ids, 40).copy()


def _textgenrnn(name: str, windows: Callable[[], np.ndarray]) -> Task:
    """Each window of 40 characters foretells the last character of the next."""
    def run(calls: tuple[Call, ...], size: int) -> Done:
        ids = windows()
        outputs = [_only(calls[0], "ids", rows) for rows in _cut(ids, size)]
        return Done(outputs, _nats(np.concatenate(outputs)[:-1], ids[1:, -1]))

    def parts() -> tuple[Part, ...]:
        proto = textgenrnn_onnx(REAL / "textgenrnn" / "textgenrnn_weights.hdf5")
        return (Part(le.load(proto.SerializeToString()), proto),)

    return Task(name, parts, run, "nats/character")


SENTENCE = "ฉันอยากกินข้าวที่บ้านของเพื่อน"         # "I want to eat rice at a friend's house"


def _segmentation() -> Task:
    """Which characters begin, continue or end a word, in a sentence begun at each of its characters."""
    file = REAL / "icu_lstm_wordseg" / "Thai_codepoints_exclusive_model4_heavy" / "weights.json"

    def run(calls: tuple[Call, ...], size: int) -> Done:
        known = json.loads(file.read_text(encoding="utf-8"))["dic"]
        ids = np.array([known.get(character, len(known)) for character in SENTENCE], np.int32)
        rows = np.stack([np.roll(ids, -shift) for shift in range(len(ids))])
        return Done([_only(calls[0], "ids", part) for part in _cut(rows, size)])

    return Task("ICU Thai words", lambda: (Part(le.Model(word_segmentation(file))),), run, sizes=(1, len(SENTENCE)))


GRAPHEMES = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES = ["<pad>", "<unk>", "<s>", "</s>", *(
    "AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 "
    "EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 "
    "V W Y Z ZH").split()]


def _phonemes() -> Task:
    """Words as they are spelt to how they are said: an encoder, and a decoder that reads what it wrote."""
    folder = REAL / "g2p_en"

    def words() -> dict[int, list[tuple[str, tuple[list[str], ...]]]]:
        """By length of the word: the word, and the ways of saying it."""
        by_length = defaultdict(list)
        for line in (folder / "homographs.en").read_text(encoding="utf-8").splitlines():
            word, *said = line.lower().split("|")[:1] + line.split("|")[1:3]
            if not line.startswith("#") and word.isalpha():
                by_length[len(word)].append((word, tuple(way.split() for way in said)))
        return by_length

    def run(calls: tuple[Call, ...], size: int) -> Done:
        encode, decode = calls
        outputs, errors, count = [], 0, 0
        for group in words().values():
            for start in range(0, len(group), size):
                own = group[start:start + size]
                ids = np.array([[GRAPHEMES.index(letter) for letter in word] + [2] for word, _ in own], np.int32)
                h = next(iter(encode({"ids": ids}).values()))
                outputs += _as_said(decode, h, [said[0] for _, said in own])
                for spelt, (_, said) in zip(_spelt(decode, h), own):
                    wrong, length = min((_edits(spelt, way), len(way)) for way in said)
                    errors, count = errors + wrong, count + length
        return Done(outputs, errors / count)

    def parts() -> tuple[Part, ...]:
        encoder, decoder = phoneme_graphs(folder / "checkpoint20.npz")
        return Part(le.Model(encoder)), Part(le.Model(decoder))

    return Task("g2p, homographs", parts, run, "phoneme errors")


def _as_said(decode: Call, h: np.ndarray, said: list[list[str]]) -> list[np.ndarray]:
    """The decoder's logits [steps, phonemes] over each word as it is said, to its end."""
    steps = max(len(way) for way in said) + 1
    ids = np.full((len(said), steps), PHONEMES.index("<s>"), np.int32)
    for row, way in enumerate(said):
        ids[row, 1:len(way) + 1] = [PHONEMES.index(phoneme) if phoneme in PHONEMES else 1 for phoneme in way]
    logits = decode({"ids": ids, "h": h})["fc"]
    return [logits[row, :len(way) + 1] for row, way in enumerate(said)]


def _spelt(decode: Call, h: np.ndarray) -> list[list[str]]:
    """The likeliest phoneme after the other, to the end or 20 of them."""
    tokens, spelt = np.full((len(h), 1), PHONEMES.index("<s>"), np.int32), []
    for _ in range(20):
        step = decode({"ids": tokens, "h": h})
        h, tokens = step["next"], step["fc"].argmax(axis=-1).astype(np.int32)
        spelt.append(tokens[:, 0])
    rows = [[PHONEMES[token] for token in row] for row in np.stack(spelt, axis=1)]
    return [row[:row.index("</s>")] if "</s>" in row else row for row in rows]


def _edits(one: list[str], other: list[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


STREAMFLOW = ("data__camels_trained_test", "nh_AORC_hourly_25yr_seq444_seed101_2601_172004__model_epoch006",
              "hourly_all_attributes_and_forcings__model_epoch020")


def tasks() -> list[Task]:
    """Those that need nothing but the project, and where ../shared/real is there all of them."""
    own = [_forecast(), _dates()]
    if not REAL.is_dir():
        return own
    return [_shakespeare(), _textgenrnn("textgenrnn", _own_kind), _textgenrnn("textgenrnn, reviews", _reviews),
            _tagger(), *own, *map(_voice, VOICES), *map(_streamflow, STREAMFLOW), _segmentation(), _phonemes(),
            _stored("activities", "har_keras3/lstm_model.keras", "har_keras3/golden.npz", "x", (1, 8)),
            _stored("sentence ends", "tract_onnx/byte_sb_bidi_lstm/model.onnx",
                    "tract_onnx/byte_sb_bidi_lstm/io.npz", "input", (1, 2))]
