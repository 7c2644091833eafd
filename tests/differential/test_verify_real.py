"""verify over trained models of others: it passes what we make of them, and nothing that is a thousandth beside it.

The Keras ones, some 15 inputs of 100 steps in eager PyTorch six times over, take a minute; they are run by hand.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import lstm_engine as le

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CASES = [
    ("dtln/model_1.onnx", None),
    ("dtln/model_2.onnx", None),
    ("gtcrn/gtcrn_simple.onnx", None),
    ("silero_vad/v6_head/silero_vad_openvino_16k.onnx", None),
    ("silero_vad/v6_head/silero_vad_op18_ifless.onnx", {"fixed": {"sr": 16000}}),
    ("silero_vad/v6_head/silero_vad_op18_ifless.onnx", None),              # each rate a branch
    ("silero_vad/old/silero_vad_2313k.onnx",
     {"fixed": {"sr": 16000}, "shapes": {"input": [1, 576], "state": [2, 1, 128]}}),
    ("tract_onnx/byte_sb_bidi_lstm/model.onnx", None),
]


def beside(graph):
    """The graph with the input weights of its last recurrent layer a thousandth too large."""
    nodes = list(graph.nodes)
    place = max(i for i, node in enumerate(nodes) if isinstance(node, le.graph.Recurrent))
    nodes[place] = dataclasses.replace(nodes[place], W=nodes[place].W * np.float32(1.001))
    return dataclasses.replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(("file", "spec"), CASES, ids=[f"{file} {' '.join(spec or {})}" for file, spec in CASES])
def test_a_real_model(real, file, spec):
    model = le.convert(real / file, spec=spec)
    report = le.verify(model, real / file, spec=spec)
    assert report.ok, str(report)
    report = le.verify(le.Model(beside(model.graph)), real / file, spec=spec)
    assert report.code == 1, str(report)
