"""Which layers hand on the mask of their input: as Keras' own classes say, for each that has a mapping."""

from __future__ import annotations

import inspect

import pytest

keras = pytest.importorskip("keras")

from lstm_engine.importers.keras import mapping_table  # noqa: E402
from lstm_engine.importers.keras.mapping.registry import DROP, KEEP, KEEP_FROM_3, mask_rule  # noqa: E402

# Their own `compute_mask` gives none, though they take one.
NONE_BEHIND = {"Dot", "GlobalAveragePooling1D", "GlobalAvgPool1D"}
# What the layer inside makes of a mask stays on what it made.
AS_INSIDE = {"SpectralNormalization"}
PLAIN = sorted(kind for kind in mapping_table() if hasattr(keras.layers, kind) and kind not in NONE_BEHIND | AS_INSIDE
               and mask_rule(kind) in (KEEP, KEEP_FROM_3, DROP))


def test_there_are_layers():
    assert {"Dense", "RMSNormalization", "Conv1D", "Rescaling"} <= set(PLAIN) and len(PLAIN) > 80


@pytest.mark.parametrize("kind", PLAIN)
def test_a_layer_hands_on_what_keras_says(kind):
    own = [base for base in inspect.getmro(getattr(keras.layers, kind))
           if base.__module__.startswith("keras.src.layers") and base is not keras.layers.Layer]
    hands_on = any("self.supports_masking = True" in inspect.getsource(base) for base in own)
    assert hands_on == (mask_rule(kind) != DROP)
