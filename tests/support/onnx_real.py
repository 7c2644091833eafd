"""The published voice activity models that several tests run, and the recording with stored answers."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

# Model, its stored answers, the specification that makes one graph of it, LSTMs in it.
SILERO = [("v6_head/silero_vad_openvino_16k.onnx", "golden_silero_vad_openvino_16k.npz", {}, 1),
          ("v6_head/silero_vad_op18_ifless.onnx", "golden_silero_vad_op18_ifless.npz", {"fixed": {"sr": 16000}}, 1),
          ("old/silero_vad_2313k.onnx", "golden_silero_vad_2313k.npz",
           {"fixed": {"sr": 16000}, "shapes": {"input": [1, 576], "state": [2, 1, 128]}}, 1)]


def recording(real: Path, stored: str) -> tuple[np.ndarray, np.ndarray]:
    """Chunks [count, 1, 576] that overlap by 64 samples, and the stored probabilities [count]."""
    with wave.open(str(real / "silero_vad" / "audio" / "jfk.wav")) as audio:
        samples = np.frombuffer(audio.readframes(-1), "<i2").astype(np.float32) / 32768
    with np.load(real / "silero_vad" / stored) as golden:
        probabilities = golden["speech_prob"].ravel()
    samples = np.concatenate([np.zeros(64, np.float32), samples, np.zeros(512, np.float32)])
    return np.stack([samples[None, 512 * i:512 * i + 576] for i in range(len(probabilities))]), probabilities
