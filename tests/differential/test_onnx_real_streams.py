"""Models that others trained, their states explicit inputs and outputs, as streams against their stored outputs."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le

pytest.importorskip("onnx")

# Model, its stored answers, the specification that makes one graph of it.
# Without one the file runs as it is: its rate is an input, and what it does for each a branch.
SILERO = [("v6_head/silero_vad_openvino_16k.onnx", "golden_silero_vad_openvino_16k.npz", {}),
          ("v6_head/silero_vad_op18_ifless.onnx", "golden_silero_vad_op18_ifless.npz", {"fixed": {"sr": 16000}}),
          ("old/silero_vad_2313k.onnx", "golden_silero_vad_2313k.npz",
           {"fixed": {"sr": 16000}, "shapes": {"input": [1, 576], "state": [2, 1, 128]}}),
          ("v6_head/silero_vad_op18_ifless.onnx", "golden_silero_vad_op18_ifless.npz", {}),
          ("old/silero_vad_2313k.onnx", "golden_silero_vad_2313k.npz", {})]


def recording(real: Path, stored: str) -> tuple[np.ndarray, np.ndarray]:
    """Chunks [count, 1, 576] that overlap by 64 samples, and the stored probabilities [count]."""
    with wave.open(str(real / "silero_vad" / "audio" / "jfk.wav")) as audio:
        samples = np.frombuffer(audio.readframes(-1), "<i2").astype(np.float32) / 32768
    with np.load(real / "silero_vad" / stored) as golden:
        probabilities = golden["speech_prob"].ravel()
    samples = np.concatenate([np.zeros(64, np.float32), samples, np.zeros(512, np.float32)])
    return np.stack([samples[None, 512 * i:512 * i + 576] for i in range(len(probabilities))]), probabilities


@pytest.mark.parametrize("name, given, expected", [("model_1", "in1", "mask"), ("model_2", "in2", "out2")])
def test_dtln(real: Path, name: str, given: str, expected: str) -> None:
    """Noise suppression frame by frame; the states of both layers are one input and output [1, 2, 128, 2]."""
    model = le.convert(real / "dtln" / f"{name}.onnx")
    (_, state_in), (_, state_out) = model.inputs, model.outputs
    stream = model.stream(states={state_in: state_out})
    with np.load(real / "dtln" / "golden.npz") as golden:
        frames, wanted = golden[given], golden[expected]
    half = len(frames) // 2
    for x, y in zip(frames[:half], wanted[:half], strict=True):
        # Two float32 results of 200 frames of carried state, each some 2e-6 from the exact one.
        np.testing.assert_allclose(stream.step(x.reshape(1, 1, -1)).ravel(), y, rtol=0, atol=4e-6)
    saved = stream.state
    other = model.stream(states={state_in: state_out})
    other.state = saved                                   # another stream takes the sequence over
    stream.reset()
    np.testing.assert_array_equal(stream.step(frames[0].reshape(1, 1, -1)).ravel(),
                                  model.stream(states={state_in: state_out}).step(frames[0].reshape(1, 1, -1)).ravel())
    for x, y in zip(frames[half:], wanted[half:], strict=True):
        np.testing.assert_allclose(other.step(x.reshape(1, 1, -1)).ravel(), y, rtol=0, atol=4e-6)


def test_gtcrn(real: Path) -> None:
    """Speech enhancement: three caches, convolutions around 14 GRUs."""
    model = le.convert(real / "gtcrn" / "gtcrn_simple.onnx")
    stream = model.stream(states={name: f"{name}_out" for name in list(model.inputs)[1:]})
    with np.load(real / "gtcrn" / "golden.npz") as golden:
        x, wanted = golden["x"], golden["y"]
    for t in range(x.shape[2]):
        # float32 twice, through some 100 layers and 60 frames of carried caches.
        np.testing.assert_allclose(stream.step(x[:, :, t:t + 1]), wanted[:, :, t:t + 1], rtol=0, atol=2e-5)


@pytest.mark.filterwarnings("ignore:results whose number of axes")
@pytest.mark.parametrize("file, stored, spec", SILERO, ids=[f"{file} {' '.join(spec)}" for file, _, spec in SILERO])
def test_silero_vad(real: Path, file: str, stored: str, spec: dict) -> None:
    """Voice activity of a whole recording."""
    model = le.convert(real / "silero_vad" / file, spec=spec or None)
    chunks, wanted = recording(real, stored)
    stream = model.stream(states={"state": "stateN"})
    rate = {"sr": np.array(16000)} if "sr" in model.inputs else {}
    answers = [stream.step({"input": chunk, **rate}) for chunk in chunks]
    made = [answer.item() for answer in answers]
    # Two float32 results of 343 chunks of carried state, each some 2e-6 from the exact one.
    np.testing.assert_allclose(made, wanted, rtol=0, atol=4e-6)
