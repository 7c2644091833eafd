"""Command lines, files and streams that nobody should give: one line on stderr, no traceback, no file overwritten."""

import os
import subprocess
import sys

import numpy as np
import pytest

import lstm_engine as le

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def save(path, features: int = 1):
    weights = [np.full(shape, 0.1, np.float32) for shape in ((1, 8, features), (1, 8, 2))]
    le.Model([le.LSTM(*weights)]).save(path)
    return path


def save_onnx(path, external: str | None = None):
    """x + 1; the 1 in a file beside the model where one is named."""
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "one")
    if external:
        (path.parent / external).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", external
    x, y = (helper.make_tensor_value_info(name, 1, ["batch", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [tensor])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
                     .SerializeToString())
    return path


def refused(ended, *words: str, code: int = 2) -> None:
    assert ended.code == code, ended.err
    assert ended.err.startswith("lstm-engine: error: ") and ended.err.count("\n") == 1 and ended.out == ""
    for word in words:
        assert word in ended.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- numbers and names ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["bench", "predict"])
@pytest.mark.parametrize("number", ["99999999999999999999", "2147483648", "0", "-1", "1.5", "", "9" * 5000, "nan"])
def test_counts(cli, here, command, number):
    save("m.lstm")
    option = ["--batch", number] if command == "bench" else ["x.csv", "--batch-size", number]
    refused(cli(command, "m.lstm", *option), "more than 2147483647" if len(number) in (10, 20) else "whole number")


@pytest.mark.parametrize("source", [".", "/", ".."])
def test_folders(cli, here, source):
    refused(cli("convert", source), "it is a folder; expected a file", code=1)
    refused(cli("inspect", source), code=1)


def test_an_empty_path(cli, here):
    refused(cli("convert", ""), "an empty path", code=2)
    refused(cli("inspect", ""), "an empty path", code=2)
    for option in ("--data-folder", "--weights", "--spec", "--output"):     # pathlib takes it for the folder one is in
        refused(cli("convert", "m.onnx", f"{option}="), f"{option}: an empty path", code=2)


@pytest.mark.parametrize("source", ["a\0b.onnx", "a" * 5000, "missing.onnx", "\udcff.onnx"])
def test_paths_that_lead_nowhere(cli, here, source):
    refused(cli("convert", source), "cannot read", code=1)


def test_names_too_long_for_what_stands_beside_them(cli, here):
    model = str(save(here / "m.lstm"))
    refused(cli("predict", model, "x.npy", "-o", f"{'a' * 5000}/y.npy"), "there is no folder aaa", code=1)
    (here / ("b" * 248 + ".json")).write_text('{"class_name": "Sequential", "config": {"name": "s", "layers": []}}')
    refused(cli("convert", "b" * 248 + ".json"), "weights", code=1)


CSV = {"heading alone": ("a,b,c\n", "holds a heading (line 1) and no rows"),
       "semicolons": ("1;2\n", "type --sep ';'"),
       "a decimal comma": ('"1,5"\n', "type --decimal ,"),
       "empty": ("", "holds no rows"),
       "empty lines": ("\n\n", "holds no rows"),
       "a quote without end": ('"1\n', "line 1"),
       "a zero byte": ("1\0\n", "line 1"),
       "a huge number": ("1e999\n", "beyond the largest float64"),
       "text": ("abc\n", "no rows")}


@pytest.mark.parametrize("case", CSV)
def test_csv(cli, here, case):
    text, message = CSV[case]
    save("m.lstm")
    (here / "x.csv").write_text(text)
    ended = cli("predict", "m.lstm", "x.csv")
    refused(ended, message, code=ended.code)
    assert ended.code in (1, 2)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_a_device_that_never_ends(cli, here):
    save("m.lstm")
    (here / "x.csv").symlink_to("/dev/zero")
    refused(cli("predict", "m.lstm", "x.csv"), "it is a device; expected a file", code=1)
    (here / "x.npy").symlink_to("/dev/zero")
    refused(cli("predict", "m.lstm", "x.npy"), "it is a device; expected a file", code=1)


# ---- streams that are closed ---------------------------------------------------------------------------------

def closed(here, numbers: tuple[int, ...], *argv: str) -> subprocess.CompletedProcess:
    """The program with these of its standard streams closed."""
    def close() -> None:
        for number in numbers:
            os.close(number)
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(le.__file__))}
    return subprocess.run([sys.executable, "-m", "lstm_engine", *argv], cwd=here, env=environment, capture_output=True,
                          text=True, preexec_fn=close, timeout=120)


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors as POSIX does")
@pytest.mark.parametrize("argv", [("info",), ("inspect", "m.lstm"), ("predict", "m.lstm", "x.csv"),
                                  ("bench", "m.lstm", "--batch", "1", "--steps", "1", "--seconds", "0.001")])
def test_a_closed_stdout_is_an_error(here, argv):
    save("m.lstm")
    (here / "x.csv").write_text("1\n2\n")
    ended = closed(here, (1,), *argv)
    assert ended.returncode == 1 and ended.stderr.splitlines()[-1] == "lstm-engine: error: stdout is closed"
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors as POSIX does")
def test_closed_streams_take_no_part_in_files(here):
    """The number of a closed stream goes to no file of ours, and what needs no stream does its work."""
    save_onnx(here / "m.onnx")
    ended = closed(here, (0, 1, 2), "convert", "m.onnx")
    assert ended.returncode == 0
    assert np.array_equal(le.load(here / "m.lstm").predict(np.zeros((2, 4), np.float32)), np.ones((2, 4)))


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors as POSIX does")
def test_a_closed_stdin_is_an_error(here):
    save("m.lstm")
    ended = closed(here, (0,), "predict", "m.lstm", "-")
    assert ended.returncode == 1 and ended.stderr == "lstm-engine: error: cannot read stdin: it is closed\n"


# ---- outputs in the place of what is read --------------------------------------------------------------------

def link(kind: str, source, name) -> None:
    os.symlink(source, name) if kind == "symbolic" else os.link(source, name)


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
@pytest.mark.parametrize("said", [True, False])
def test_convert_leaves_its_source_alone(cli, here, kind, said):
    source = save_onnx(here / "t.onnx")
    before = source.read_bytes()
    link(kind, source, here / "t.lstm")
    refused(cli("convert", "t.onnx", *(["-o", "t.lstm"] if said else [])), "would replace SRC t.onnx, which is read")
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["w.lstm", "w.bin"])
def test_convert_leaves_external_data_alone(cli, here, name):
    save_onnx(here / "t.onnx", name)
    before = (here / name).read_bytes()
    if name != "w.lstm":
        (here / "w.lstm").symlink_to(here / name)
    refused(cli("convert", "t.onnx", "-o", "w.lstm"), "would replace a file that the model is read from")
    assert (here / name).read_bytes() == before
    assert cli("convert", "t.onnx").code == 0


def test_convert_leaves_the_spec_alone(cli, here):
    np.savez(here / "w.npz", a=np.ones(3))
    (here / "s.lstm").write_text("{}")
    refused(cli("convert", "w.npz", "--spec", "s.lstm", "-o", "s.lstm"), "would replace --spec s.lstm")
    assert (here / "s.lstm").read_text() == "{}"


@pytest.mark.parametrize("kind", ["itself", "symbolic", "hard"])
@pytest.mark.parametrize("argument", ["MODEL", "INPUT", "--lengths"])
def test_predict_leaves_what_it_reads_alone(cli, here, argument, kind):
    np.save(here / "x.npy", np.ones((1, 3, 1), np.float32))
    np.save(here / "l.npy", np.array([3]))
    save("m.lstm")
    path = here / {"MODEL": "m.lstm", "INPUT": "x.npy", "--lengths": "l.npy"}[argument]
    target = path if kind == "itself" else here / "out.npy"
    if kind != "itself":
        link(kind, path, target)
    elif argument == "MODEL":
        pytest.skip("an output cannot be called .lstm")
    before = path.read_bytes()
    refused(cli("predict", "m.lstm", "x.npy", "--lengths", "l.npy", "-o", target), f"would replace {argument}")
    assert path.read_bytes() == before


def test_predict_leaves_external_data_alone(cli, here):
    save_onnx(here / "t.onnx", "w.npy")
    np.save(here / "x.npy", np.ones((1, 4), np.float32))
    before = (here / "w.npy").read_bytes()
    refused(cli("predict", "t.onnx", "x.npy", "-o", "w.npy"), "would replace a file that the model is read from")
    assert (here / "w.npy").read_bytes() == before
