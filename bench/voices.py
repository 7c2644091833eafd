"""Models of voices that run a frame at a time, their states explicit: single streams of what others trained.

The files lie in ../shared/real; their states are inputs and outputs, zeros first.
"""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstm_engine.graph import Graph

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Voice:
    """A model and a recording for it.

    features: numbers of a frame. hidden: units of its recurrent layers. file: below ../shared/real. frame: the input
    that takes `frames` [steps, ...] step by step. carried: state in -> state out. wanted: what the model's framework
    gave, [steps, ...].
    """

    title: str
    file: str
    features: int
    hidden: int
    frame: str
    carried: dict[str, str]
    frames: Callable[[Path], np.ndarray]
    wanted: Callable[[Path], np.ndarray]


def stepped(call: Callable[[Arrays], Arrays], graph: Graph, frame: str, frames: np.ndarray,
            carried: dict[str, str]) -> Arrays:
    """The outputs of all steps but for the states, [steps, ...], the states carried on from zeros."""
    states = zero_states(graph, carried)
    made: dict[str, list[np.ndarray]] = {name: [] for name in graph.outputs if name not in carried.values()}
    for x in frames:
        outputs = call({frame: x, **states})
        states = {name: np.array(outputs[out]) for name, out in carried.items()}
        for name, own in made.items():
            own.append(np.array(outputs[name]))
    return {name: np.stack(own) for name, own in made.items()}


def zero_states(graph: Graph, carried: dict[str, str]) -> Arrays:
    return {value.name: np.zeros([int(size) for size in value.shape], np.float32)
            for value in graph.inputs if value.name in carried}


def _golden(real: Path, folder: str, key: str) -> np.ndarray:
    with np.load(real / folder / "golden.npz") as stored:
        return stored[key]


def _speech(real: Path) -> np.ndarray:
    """[chunks, 1, 576]: 512 samples each and the 64 before them."""
    with wave.open(str(real / "silero_vad" / "audio" / "jfk.wav")) as audio:
        samples = np.frombuffer(audio.readframes(-1), "<i2").astype(np.float32) / 32768
    padded = np.concatenate([np.zeros(64, np.float32), samples])
    return np.stack([padded[None, 512 * i:512 * i + 576] for i in range(len(samples) // 512)])


def _probabilities(real: Path) -> np.ndarray:
    with np.load(real / "silero_vad" / "golden_silero_vad_openvino_16k.npz") as stored:
        return stored["speech_prob"].reshape(-1, 1, 1)


def _dtln(number: int, frame: str, carried: dict[str, str], given: str, wanted: str) -> Voice:
    return Voice(f"dtln-{number}", f"dtln/model_{number}.onnx", 257 if number == 1 else 512, 128, frame, carried,
                 lambda real: _golden(real, "dtln", given)[:, None, None],
                 lambda real: _golden(real, "dtln", wanted)[:, None, None])


VOICES = (
    Voice("silero", "silero_vad/v6_head/silero_vad_openvino_16k.onnx", 576, 128, "input", {"state": "stateN"}, _speech,
          _probabilities),
    _dtln(1, "input_2", {"input_3": "tf_op_layer_stack_2"}, "in1", "mask"),
    _dtln(2, "input_4", {"input_5": "tf_op_layer_stack_5"}, "in2", "out2"),
    Voice("gtcrn", "gtcrn/gtcrn_simple.onnx", 514, 16, "mix",
          {name: f"{name}_out" for name in ("conv_cache", "tra_cache", "inter_cache")},
          lambda real: np.ascontiguousarray(_golden(real, "gtcrn", "x").transpose(2, 0, 1, 3)[:, :, :, None]),
          lambda real: _golden(real, "gtcrn", "y").transpose(2, 0, 1, 3)[:, :, :, None]),
)
