"""lstm-engine demo: its numbers are the frameworks' own, its text suits where it is written to."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.cli.console import Console, one_line, table
from lstm_engine.cli.demo import common, forecast, text
from lstm_engine.cli.demo.chart import Curve, chart
from lstm_engine.cli.main import main


@pytest.fixture(scope="module")
def shown():
    """What all three parts print as JSON, and as text into a pipe."""
    pytest.importorskip("h5py", reason="reads the .keras file")
    pytest.importorskip("onnx", reason="reads the .onnx file")
    printed = []
    for extra in (["--json"], []):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            assert main(["demo", "--threads", "1", *extra]) == 0
        assert err.getvalue() == ""
        printed.append(out.getvalue())
    return json.loads(printed[0]), printed[1]


def test_the_outputs_are_the_frameworks(shown):
    told, _ = shown
    # Each engine sums float32 products in its own order. Probabilities after 48 steps, outputs of about 1 after 104:
    # all stay within some 20 roundings of 6e-8.
    assert told["text"]["max_difference_probabilities"] <= 2e-6
    assert told["text"]["max_difference_nats"] <= 2e-6
    assert told["forecast"]["max_difference"] <= 2e-6
    # Sentences of up to 73 characters, both ways: PyTorch and ONNX Runtime differ by 5.7e-6 in these logits, which
    # reach 16.
    assert told["dates"]["max_difference"] <= 4e-6
    assert told["dates"]["same_labels"] and told["passed"]


def test_the_models_do_their_jobs(shown):
    told, _ = shown
    assert told["text"]["verse_nats"] + 0.3 < told["text"]["prose_nats"] and told["text"]["verse_easier_share"] > 0.9
    assert told["forecast"]["mae"] < 0.5 * told["forecast"]["mae_seasonal_naive"]
    assert len(told["text"]["continuation"]) == 360
    fire, *_, plain = told["dates"]["sentences"]
    assert [(part["label"], part["text"]) for part in fire["found"]] == [("D", "2"), ("M", "September"), ("Y", "1666")]
    assert [part["text"] for part in plain["found"]] == ["14", "May"] and plain["text"].startswith("May I have 4")


def test_the_text_shows_all_of_it(shown):
    told, printed = shown
    assert "\x1b" not in printed                                    # no colour in a pipe
    for words in ("shakespeare.keras: Embedding(65, 24)", "DUKE:", "characters per second at batch 1",
                  "at batch 64", "largest difference from Keras' stored outputs", "CO2 at Mauna Loa",
                  "seasonal naive", "largest difference from PyTorch's stored outputs", "D MMMMMMMMM YYYY",
                  "largest difference from PyTorch's stored logits", "3 models converted, run and compared",
                  "all outputs agree"):
        assert words in printed
    # The same seed writes the same text.
    written = "".join(line.strip() for line in told["text"]["continuation"].split("\n"))
    assert written in "".join(line.strip() for line in printed.split("\n"))


def test_the_seed_and_the_prompt_are_followed(cli):
    pytest.importorskip("h5py", reason="reads the .keras file")
    argv = ("demo", "text", "--json", "--length", "80", "--prompt", "KING:\n")
    first, again, other = (json.loads(cli(*argv, "--seed", seed).out)["text"]["continuation"] for seed in (1, 1, 2))
    assert first == again != other and len(first) == 80


def test_writing_draws_from_the_models_own_probabilities():
    """A model whose next character is always one step up the alphabet, to a certainty of 1 - 1e-8 or so."""
    kernel = 20 * np.roll(np.eye(5, dtype=np.float32), 1, axis=1)
    model = le.Model([le.Embedding(np.eye(5, dtype=np.float32)), le.Dense(kernel, activation="softmax")])
    rng = np.random.default_rng(0)
    written = np.array(list(text.write(model, np.array([[0], [3]], np.int32), 7, 1.0, rng, 1)))
    assert written.T.tolist() == [[1, 2, 3, 4, 0, 1, 2], [4, 0, 1, 2, 3, 4, 0]]


def test_temperature_sharpens():
    """A model that says 0.8 and 0.2 whatever it read; p ** 2 is then 16 to 1."""
    table_of_logs = np.log(np.tile(np.array([[0.8, 0.2]], np.float32), (2, 1)))
    model = le.Model([le.Embedding(table_of_logs), le.Activate("softmax")])
    for temperature, share in ((1.0, 0.8), (0.5, 16 / 17)):
        written = np.array(list(text.write(model, np.zeros((100, 1), np.int32), 100, temperature,
                                           np.random.default_rng(1), 1)))
        # 10 000 draws: four standard deviations of the share are at most 4 * sqrt(0.16 / 10000) = 0.016.
        assert abs((written == 0).mean() - share) < 0.016


def test_scores_are_those_of_the_float64_reference():
    rng = np.random.default_rng(3)
    model = le.Model([le.Embedding(rng.standard_normal((6, 4)).astype(np.float32)),
                      le.LSTM(*(rng.standard_normal(shape).astype(np.float32) for shape in ((1, 20, 4), (1, 20, 5)))),
                      le.Dense(rng.standard_normal((5, 6)).astype(np.float32), activation="softmax")])
    lines = [rng.integers(0, 6, length).astype(np.int32) for length in (9, 2, 30)]
    for line, nats in zip(lines, text.score(model, lines, 1), strict=True):
        p = reference.run(model.graph, {"input": line[None]})["output"][0]
        expected = -np.mean([np.log(p[t, line[t + 1]]) for t in range(len(line) - 1)])
        # -ln p of float32 probabilities: an error of some 1e-6 of p is one of 1e-6 in its logarithm.
        assert nats == pytest.approx(expected, abs=5e-6)


def test_one_part_alone_needs_nothing_else(cli, monkeypatch):
    for package in ("h5py", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    ended = cli("demo", "forecast")
    assert ended.code == 0 and ended.err == "" and "1 model converted" in ended.out


def test_what_is_missing_is_told_and_the_rest_runs(cli, monkeypatch):
    def missing(name, **options):
        if name != "forecast.pt":
            raise le.MissingDependencyError(f"{name}: reading it needs a package: pip install 'lstm-engine[convert]'")
        return convert(name, **options)

    convert = common.convert
    for part in ("text", "forecast", "dates"):
        monkeypatch.setattr(f"lstm_engine.cli.demo.{part}.convert", missing)
    ended = cli("demo")
    assert ended.code == 1 and "seasonal naive" in ended.out and "1 model converted" in ended.out
    lines = ended.err.splitlines()
    assert [line.split(":")[1].split()[0] for line in lines] == ["text", "dates"]
    assert all("pip install 'lstm-engine[convert]'" in line for line in lines)


def test_a_wrong_output_fails_the_demo(cli, monkeypatch):
    stored = common.stored

    def changed(name):
        arrays = stored(name)
        arrays["outputs"][3, 4] += 1e-3
        return arrays

    monkeypatch.setattr(forecast, "stored", changed)
    ended = cli("demo", "forecast", "--json")
    assert ended.code == 1 and not json.loads(ended.out)["passed"]
    assert ended.err.startswith("lstm-engine: error: forecast: the outputs differ from PyTorch's by 0.00")


@pytest.mark.parametrize(("argv", "message"), [
    (["poetry"], "'poetry' is no part of the demo; there are text, forecast, dates"),
    (["text", "--prompt", "naïve"], "--prompt: the model does not know 'ï'"),
    (["text", "--prompt", ""], "--prompt: is empty"),
    (["--temperature", "0"], "'0' is not a number above 0"),
    (["--length", "1e3"], "argument --length"),
    (["--length", "1000001"], "is more than a million"),
])
def test_wrong_usage(cli, argv, message):
    ended = cli("demo", *argv)
    assert ended.code == 2 and ended.out == "" and message in ended.err and ended.err.count("\n") == 1


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("environment", "colour"), [
    ({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False),
])
def test_colour_is_for_terminals_that_want_it(monkeypatch, environment, colour):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Console(Terminal("utf-8")).style("x", "bold", "green") == ("\x1b[1;32mx\x1b[0m" if colour else "x")
    assert Console(io.StringIO()).style("x", "bold") == "x"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_the_demo_on_a_terminal(monkeypatch, no_color, coloured):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal("utf-8")
    with contextlib.redirect_stdout(terminal):
        assert main(["demo", "forecast"]) == 0
    assert (b"\x1b[" in terminal.buffer.getvalue()) == coloured


def test_glyphs_are_those_of_the_encoding(program):
    for encoding, ascii_alone in (("ascii", True), ("utf-8", False)):
        ended = program("demo", "forecast", env={"PYTHONIOENCODING": encoding})
        assert ended.code == 0 and ended.out.isascii() == ascii_alone and "\\" not in ended.out


def test_a_chart_by_hand(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    console = Console(Terminal("ascii"))
    console.colour = False
    values = np.array([0.0, 4.0, 2.0])
    lines = chart(console, [Curve("points", values, ("●", "o"), "bold")], 5, ("from", "to"))
    width = 60 - 11
    assert [line.index("o") - 11 for line in lines[:5] if "o" in line] == [width // 2, width - 1, 0]
    assert lines[0].startswith("     4.0 |") and lines[4].startswith("     0.0 |") and lines[1].startswith("         |")
    assert lines[6].split() == ["from", "to"] and all(len(line) <= 60 for line in lines)
    flat = chart(console, [Curve("line", np.full(3, 7.0), ("", ""), "bold")], 5, ("a", "b"))
    assert flat[0].count("-") == width                              # no spread: a level line
    step = chart(console, [Curve("line", np.array([0.0, 1.0]), ("", ""), "bold")], 5, ("a", "b"))
    assert all(sum(line[11 + column:12 + column].strip() != "" for line in step[:5]) >= 1 for column in range(width))


def test_text_made_safe():
    assert one_line("a\tb\x1b[0m\u202e\ud800é") == r"a\tb\x1b[0m\u202e\ud800é"
    assert table([("a", "b"), ("long", "1")], right=(1,)) == "a     b\n-------\nlong  1"
