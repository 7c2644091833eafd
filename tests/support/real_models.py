"""Trained models of others beside the project (../shared/real): what to feed them, and what they must give.

Each case runs a model through an engine, the float64 oracle or the C core, and gives its outputs beside the stored
ones, which the frameworks that the models came from computed in float32. Used by tests/differential/test_real_models.py
and tools/real_models.py.
"""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.graph import Graph
from lstm_engine.importers import ImportOptions, import_graph
from lstm_engine.verifying.differences import Difference, difference

Arrays = dict[str, np.ndarray]
Engine = Callable[[Graph], Callable[[Arrays], Arrays]]
Pairs = list[tuple[str, np.ndarray, np.ndarray]]          # an output's name, what came out, what is stored


def oracle(graph: Graph) -> Callable[[Arrays], Arrays]:
    """Float64 NumPy."""
    return partial(reference.run, graph)


def core(graph: Graph) -> Callable[[Arrays], Arrays]:
    """What users run: `Model.predict`."""
    model = le.Model(graph)

    def call(inputs: Arrays) -> Arrays:
        made = model.predict(inputs)
        return made if isinstance(made, dict) else {graph.outputs[0]: made}
    return call


@dataclass(frozen=True)
class Case:
    """tolerance: the largest absolute difference from the stored outputs. stored_error: how far these are themselves
    from the exact ones, where that leaves no room: then it is enough to be as near to the exact ones as they are."""

    name: str
    file: str                                        # below ../shared/real
    tolerance: float
    run: Callable[[Case, Path, Engine], Pairs]
    spec: dict[str, Any] | None = None
    stored_error: float = 0.0

    def graph(self, real: Path) -> Graph:
        return import_graph(real / self.file, ImportOptions(spec=self.spec))

    def measure(self, real: Path) -> list[Row]:
        """How far the core's outputs, and the stored ones, are from each other and from the exact ones."""
        rows = []
        for (name, ours, stored), (_, exact, _) in zip(self.run(self, real, core), self.run(self, real, oracle)):
            assert ours.shape == exact.shape == stored.shape, (self.name, name, ours.shape, stored.shape)
            row = Row(name, difference(ours, stored), _largest(stored - exact), _largest(ours - exact))
            if row.found.absolute <= self.tolerance:
                row.verdict = "ok"
            elif row.ours_from_exact <= self.stored_error:
                row.verdict = "ok: as exact as stored"
            elif row.ours_from_exact <= 2 * self.stored_error:      # which of two roundings has the worse luck
                row.verdict = "ok: within twice the error of stored"
            rows.append(row)
        return rows


@dataclass
class Row:
    """One output: `found` is ours from the stored one, the others are largest absolute differences."""

    output: str
    found: Difference
    stored_from_exact: float
    ours_from_exact: float
    verdict: str = "BEYOND"

    @property
    def good(self) -> bool:
        return self.verdict.startswith("ok")


def _largest(differences: np.ndarray) -> float:
    return float(np.abs(differences).max())


def _stored(path: Path) -> Arrays:
    with np.load(path) as file:
        return dict(file)


def _noaa(case: Case, real: Path, engine: Engine) -> Pairs:
    stored, stem = _stored(real / "noaa_lstm" / "golden.npz"), Path(case.file).stem
    made = engine(case.graph(real))({"input": stored[f"{stem}/x"]})
    return [("output", made["output"], stored[f"{stem}/y"])]


def _har(case: Case, real: Path, engine: Engine) -> Pairs:
    graph, stored = case.graph(real), _stored(real / "har_keras3" / "golden.npz")
    return [("dense_3", engine(graph)({graph.inputs[0].name: stored["x"]})["dense_3"], stored["y"])]


def _byte_sb(case: Case, real: Path, engine: Engine) -> Pairs:
    stored = _stored((real / case.file).with_name("io.npz"))
    return [("output", engine(case.graph(real))({"input": stored["input"]})["output"], stored["Add_26"])]


def _dtln(case: Case, real: Path, engine: Engine, given: str, wanted: str) -> Pairs:
    """200 frames; the states of both layers are one input and one output."""
    graph, stored = case.graph(real), _stored(real / "dtln" / "golden.npz")
    (frame, state), (output, new_state) = (value.name for value in graph.inputs), graph.outputs
    step, states, made = engine(graph), np.zeros((1, 2, 128, 2), np.float32), []
    for x in stored[given]:
        results = step({frame: x.reshape(1, 1, -1), state: states})
        states = results[new_state]
        made.append(results[output].ravel())
    return [(output, np.array(made), stored[wanted].reshape(len(made), -1))]


def _gtcrn(case: Case, real: Path, engine: Engine) -> Pairs:
    """60 frames, all caches explicit."""
    graph, stored = case.graph(real), _stored(real / "gtcrn" / "golden.npz")
    caches = {value.name: np.zeros(value.shape, np.float32) for value in graph.inputs[1:]}
    step, made = engine(graph), []
    for t in range(stored["x"].shape[2]):
        results = step({"mix": stored["x"][:, :, t:t + 1], **caches})
        caches = {name: results[f"{name}_out"] for name in caches}
        made.append(results["enh"])
    return [("enh", np.concatenate(made, axis=2), stored["y"])]


def speech(real: Path) -> np.ndarray:
    """The recording that Silero's outputs are of, 64 samples of silence before it: chunk i begins at 512 i."""
    with wave.open(str(real / "silero_vad" / "audio" / "jfk.wav")) as audio:
        samples = np.frombuffer(audio.readframes(-1), "<i2").astype(np.float32) / 32768
    return np.concatenate([np.zeros(64, np.float32), samples, np.zeros(512, np.float32)])


def _silero(case: Case, real: Path, engine: Engine) -> Pairs:
    """Voice activity of a whole recording, in chunks of 512 samples and the 64 before."""
    wanted = _stored(real / "silero_vad" / f"golden_{Path(case.file).stem}.npz")["speech_prob"].ravel()
    samples = speech(real)
    step, state, made = engine(case.graph(real)), np.zeros((2, 1, 128), np.float32), []
    for i in range(len(wanted)):
        results = step({"input": samples[None, 512 * i:512 * i + 576], "state": state})
        state = results["stateN"]
        made.append(results["output"].item())
    return [("output", np.array(made, results["output"].dtype), wanted)]


# noaa's stored outputs are torch's in float32, over 168 steps and a head whose weights add up to 130: how far that is
# from torch in float64 on the same inputs, the first two digits, rounded up.
NOAA = {
    "data__camels_trained_test": 1.7e-5,
    "data__nwmv3_nosnow_normalarea_672_trained": 4.4e-7,
    "hourly_all_attributes_and_forcings__model_epoch020": 3.4e-6,
    "hourly_all_forcings_lat_lon_elev__model_epoch003": 7.9e-7,
    "hourly_slope_mean_precip_temp__model_epoch030": 3.2e-6,
    "nh_AORC_hourly_25yr_seq444_seed101_2601_172004__model_epoch006": 7.9e-6,
}

CASES = [
    *(Case(f"noaa_lstm/{stem}", f"noaa_lstm/old/{stem}.pt", 1e-6, _noaa, stored_error=error)
      for stem, error in NOAA.items()),
    # 58 steps, logits up to 10.
    Case("byte_sb_bidi_lstm", "tract_onnx/byte_sb_bidi_lstm/model.onnx", 5e-6, _byte_sb),
    # float32 rounding over 100 steps.
    Case("har_keras3", "har_keras3/lstm_model.keras", 1e-6, _har),
    # 200 frames of carried state; model_2's cells are written out in primitives.
    Case("dtln/model_1", "dtln/model_1.onnx", 2e-6, partial(_dtln, given="in1", wanted="mask")),
    Case("dtln/model_2", "dtln/model_2.onnx", 2e-6, partial(_dtln, given="in2", wanted="out2")),
    # Some 100 layers, 60 frames of carried caches.
    Case("gtcrn", "gtcrn/gtcrn_simple.onnx", 1e-5, _gtcrn),
    # 343 chunks of carried state, probabilities up to 1; stored outputs 1.5e-6 off. Ifs on the sampling rate, and on
    # shapes, are decided by the spec.
    Case("silero_vad/openvino_16k", "silero_vad/v6_head/silero_vad_openvino_16k.onnx", 2e-6, _silero),
    Case("silero_vad/op18_ifless", "silero_vad/v6_head/silero_vad_op18_ifless.onnx", 2e-6, _silero,
         {"fixed": {"sr": 16000}}, stored_error=1.6e-6),
    Case("silero_vad/2313k", "silero_vad/old/silero_vad_2313k.onnx", 2e-6, _silero,
         {"fixed": {"sr": 16000}, "shapes": {"input": [1, 576], "state": [2, 1, 128]}}),
]
