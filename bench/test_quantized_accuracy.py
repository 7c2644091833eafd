"""What the figures of bench.quantized_accuracy mean, and that in float32 its tasks are done as they are known to be."""

from __future__ import annotations

import numpy as np
import pytest

from bench.cells import REAL
from bench.quantized_accuracy import OURS, PEER, compared, format_rows, main, measure, probabilities
from bench.tasks import Done, Task, _edits, tasks


def _task(**options) -> Task:
    return Task("task", tuple, lambda calls, size: Done([]), "share", **options)


def test_figures():
    """Three decisions, one of them near: it changes, and is none that float32 was sure of."""
    exact = Done([np.array([[0.9, 0.1], [0.51, 0.49]]), np.array([[0.2, 0.8]])], 2.0)
    other = Done([np.array([[0.9, 0.1], [0.48, 0.52]]), np.array([[0.2, 0.8]])], 1.0)
    row = compared(other, exact, _task())
    assert row["rms"] == pytest.approx(np.sqrt(2 * 0.03 ** 2 / 6)) and row["largest"] == pytest.approx(0.03)
    assert [row[key] for key in ("decisions", "changed", "sure", "sure_changed")] == [3, 1, 2, 0]
    assert row["score_change"] == -0.5
    assert "decisions" not in compared(other, exact, _task(decides=False))


def test_probabilities():
    logits = np.array([[0.0, np.log(3.0)], [5.0, 5.0]])
    np.testing.assert_allclose(probabilities(logits), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(probabilities(np.array([[0.25, 0.75]])), [[0.25, 0.75]])
    np.testing.assert_allclose(probabilities(np.array([[[0.9]]])), [[0.9, 0.1]])


def test_edits():
    assert _edits("AH0 N S".split(), "AH0 N".split()) == 1 and _edits(list("kitten"), list("sitting")) == 3


@pytest.mark.parametrize("name", ["CO2 forecast (demo)", "dates (demo)"])
def test_tasks_of_the_project(name):
    (task,) = (task for task in tasks() if task.name == name)
    rows = measure(task)
    assert not [row for row in rows if row.get("reason", "").startswith("FAILED")]
    for size in task.sizes:
        own = {row["type"]: row for row in rows if row["batch"] == size}
        assert own["float32"]["rms"] == 0 < own["float16"]["rms"] < own["bfloat16"]["rms"] < own["int8"]["rms"]
        assert set(OURS) | {PEER} <= set(own)
    assert name + ", B 1" in format_rows(rows)


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is not there")
@pytest.mark.parametrize("name, least, most", [
    ("textgenrnn", 0.80, 0.95), ("tagger, UD ATIS dev", 0.982, 0.984), ("silero", 0, 2e-6), ("dtln-1", 0, 2e-6),
    ("dtln-2", 0, 2e-6), ("gtcrn", 0, 1e-5), ("g2p, homographs", 0, 0.10)])
def test_float32_does_the_task_as_it_is_known_to(name, least, most):
    """Scores that others state: nats, a share of tags, a distance from golden outputs; phoneme errors stay few."""
    from bench.quantized_accuracy import WAYS

    (task,) = (task for task in tasks() if task.name == name)
    score = task.run(tuple(WAYS["float32"](part) for part in task.parts()), task.sizes[-1]).score
    assert least <= score <= most


def test_unknown_task(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["nothing"])
    assert stopped.value.code == 2 and "no task has such a name; there are: " in capsys.readouterr().err
