"""What the user of a model must know beside its shapes, in every command that converts."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("h5py")

from keras_files import layer, random, sequential, zipped

SAID = "stateful layers (rnn): in Keras a second predict goes on"


@pytest.fixture
def stateful(tmp_path):
    """A Keras file with a stateful layer."""
    config = sequential(layer("SimpleRNN", "rnn", units=2, batch_shape=[4, None, 3], stateful=True))
    arrays = {f"layers/simple_rnn/cell/vars/{i}": random(i, *shape) for i, shape in enumerate([(3, 2), (2, 2), (2,)])}
    return zipped(tmp_path / "m.keras", config, arrays)


def test_convert_says_it_on_stderr_and_inspect_from_the_file(cli, stateful, tmp_path):
    ended = cli("convert", stateful, "-o", tmp_path / "m.lstm")
    assert ended.code == 0 and ended.err.count(SAID) == 1 and ended.out == ""
    for model in (stateful, tmp_path / "m.lstm"):
        shown = cli("inspect", model)
        assert shown.code == 0 and shown.out.count(SAID) == 1 and "Model.stream" in shown.out and shown.err == ""
        told = json.loads(cli("inspect", model, "--json").out)
        assert told["notes"][0].startswith(SAID) and told["metadata"]["stateful"] == "rnn"


def test_predict_says_it_once(cli, stateful, tmp_path):
    np.save(tmp_path / "x.npy", random(9, 4, 5, 3))
    ended = cli("predict", stateful, tmp_path / "x.npy")
    assert ended.code == 0 and ended.err.count(SAID) == 1


def test_other_models_have_none(cli, models):
    assert "note" not in cli("inspect", models / "ids.lstm").out
    assert json.loads(cli("inspect", models / "ids.lstm", "--json").out)["notes"] == []
