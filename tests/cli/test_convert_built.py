"""lstm-engine convert model.py:build: what the user's own code builds, with the weights of a file."""

from __future__ import annotations

import signal
import sys

import numpy as np
import pytest
from children import HANG

import lstm_engine as le

pytestmark = pytest.mark.slow            # each starts a process or two that load torch
torch = pytest.importorskip("torch", reason="builds modules with PyTorch, which is not installed")

MODEL = '''
import sys

import torch
from torch import nn

from sizes import CLASSES          # beside it, as in a folder of one's own

print("said by model.py")


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(50, 8), nn.LSTM(8, 16, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, ids):
        return self.fc(self.lstm(self.embedding(ids))[0].mean(1)).softmax(-1)


def build():
    return Tagger(), (torch.ones(2, 10, dtype=torch.int64),)


class Makers:
    @staticmethod
    def layer():
        return nn.LSTM(3, 4, batch_first=True)


def number():
    return 3


def broken():
    raise KeyError("size")


def leaves():
    sys.exit(7)


def dies():
    import os
    os._exit(9)


def killed():
    import os
    import signal
    os.kill(os.getpid(), signal.SIGKILL)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def mute():
    raise Mute


def cancelled():
    from asyncio import CancelledError
    raise CancelledError("late")


def asks():
    return nn.LSTM(3, int(input()))


def three():
    return nn.LSTM(3, 4), 1, 2


def moves():
    import os
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "elsewhere"))
    return nn.Linear(2, 2)
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "sizes.py").write_text("CLASSES = 3\n")
    return tmp_path


def built(folder):
    """The module that build() gives, made here."""
    scope: dict = {"__name__": "model"}
    sys.path.insert(0, str(folder))
    try:
        exec(compile(MODEL, "model.py", "exec"), scope)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("sizes", None)
    return scope["build"]()[0].eval()


def test_the_model_is_the_module_with_the_weights_of_the_file(cli, folder):
    module = built(folder)
    torch.save({"state_dict": {f"net.{name}": tensor for name, tensor in module.state_dict().items()}, "epoch": 3},
               folder / "w.ckpt")
    ended = cli("convert", f"{folder / 'model.py'}:build", "--weights", folder / "w.ckpt")
    assert ended.code == 0 and ended.out == "", ended.err
    assert f"running {folder / 'model.py'}:build, your own code, in a process of its own" in ended.err
    assert "the file's names begin with 'net.', which was taken off" in ended.err
    model = le.load(folder / "model.lstm")
    ids = np.random.default_rng(0).integers(0, 50, (3, 7))
    with torch.no_grad():
        expected = module(torch.from_numpy(ids)).numpy()
    # Probabilities, of sums of some hundred float32 products: a few units in the last place of 1.
    np.testing.assert_allclose(model.predict(ids), expected, rtol=0, atol=1e-6)
    assert model.graph.metadata["source"] == "model.py:build with w.ckpt"


def test_a_torchscript_archive_holds_weights_for_it(cli, folder):
    module = built(folder)
    torch.jit.trace(module, torch.ones(2, 10, dtype=torch.int64)).save(folder / "scripted.pt")
    refused = cli("convert", folder / "scripted.pt")
    assert refused.code == 1 and "lstm-engine convert model.py:build --weights FILE" in refused.err
    ended = cli("convert", f"{folder / 'model.py'}:build", "--weights", folder / "scripted.pt", "--dtype", "float64",
                "-o", folder / "wide.lstm")
    assert ended.code == 0, ended.err
    ids = np.arange(8).reshape(2, 4)
    with torch.no_grad():
        expected = module.double()(torch.from_numpy(ids)).numpy()
    np.testing.assert_allclose(le.load(folder / "wide.lstm").predict(ids), expected, rtol=0, atol=1e-14)


def test_a_method_that_needs_no_example_and_gives_weights_of_its_own(cli, folder):
    ended = cli("convert", f"{folder / 'model.py'}:Makers.layer", "-o", folder / "layer.lstm")
    assert ended.code == 0 and "no --weights: the model has those that Makers.layer gives it" in ended.err
    answers = le.load(folder / "layer.lstm").predict(np.ones((2, 5, 3), np.float32))
    assert [answer.shape for answer in answers.values()] == [(2, 5, 4), (1, 2, 4), (1, 2, 4)]


@pytest.mark.parametrize("function, message", [
    ("number", "expected a torch.nn.Module, or (module, example_inputs), got int"),
    ("broken", "model.py:broken raised KeyError in line 37: 'size'"),
    ("leaves", "model.py:leaves raised SystemExit in line 41: 7"),
    ("dies", "model.py:dies: its process ended with code 9, and gave no model"),
    ("killed", "model.py:killed: its process was ended by SIGKILL, and gave no model"),
    ("mute", "model.py:mute raised Mute in line 61"),
    ("cancelled", "model.py:cancelled raised CancelledError in line 66: late"),
    ("asks", "model.py:asks raised EOFError in line 70"),
    ("three", "expected a torch.nn.Module, or (module, example_inputs), got a tuple of 3"),
    ("Tagger", "what Tagger.forward takes cannot be told from outside; return an example of at least 2 rows and 2 "
               "steps with it: return module, (torch.zeros(2, 10, dtype=torch.int64),)"),
    ("nothing", "it has no function 'nothing'; it has Tagger, build, Makers, number, broken, leaves, "
                "dies, killed, Mute, mute, cancelled, asks")])
def test_what_it_does_not_build_is_one_line(cli, folder, function, message):
    ended = cli("convert", f"{folder / 'model.py'}:{function}")
    assert ended.code == 1 and message in ended.err and not list(folder.glob("*.lstm"))
    assert len(ended.err.splitlines()) == 2, ended.err        # what is run, and the error


def test_a_file_that_is_not_there_and_options_for_checkpoints(cli, folder):
    ended = cli("convert", f"{folder / 'other.py'}:build")
    assert ended.code == 1 and f"{folder / 'other.py'}: there is no such file" in ended.err
    ended = cli("convert", f"{folder / 'model.py'}:build", "--pool", "last")
    assert ended.code == 2 and "--pool is for checkpoints" in ended.err


LAYER = "from torch import nn\n\n\ndef build():\n    return nn.LSTM(3, SIZE, batch_first=True)\n"


@pytest.mark.parametrize("name", ["json.py", "torch.py", "inspect.py", "my-model.py", "my model.py", "modèle.py",
                                  "net.v2.py"])
def test_a_file_may_be_called_as_others_are(name, cli, tmp_path, monkeypatch):
    (tmp_path / name).write_text(LAYER.replace("SIZE", "4"))
    monkeypatch.chdir(tmp_path)
    ended = cli("convert", f"{name}:build", "-o", "layer.lstm")
    assert ended.code == 0, ended.err
    assert le.load("layer.lstm").graph.outputs


@pytest.mark.parametrize("folder", ["package", "package/inner", "v1.0", "json"])
@pytest.mark.parametrize("relative", [False, True])
def test_a_file_of_a_package(folder, relative, cli, tmp_path, monkeypatch):
    """Its neighbours are found as those of a package, and as those of a program."""
    place = tmp_path / folder
    place.mkdir(parents=True)
    for package in {place, *place.parents} & set(tmp_path.glob("**/")) - {tmp_path}:
        (package / "__init__.py").write_text("")
    (place / "sizes_of_it.py").write_text("SIZE = 5\n")
    (place / "net.py").write_text(f"from {'.' if relative else ''}sizes_of_it import SIZE\n{LAYER}")
    monkeypatch.chdir(tmp_path.parent)
    ended = cli("convert", f"{place / 'net.py'}:build", "-o", tmp_path / "layer.lstm")
    if relative and folder in ("v1.0", "json"):             # no name to import it by
        assert ended.code == 1 and "net.py raised ImportError in line 1: attempted relative import" in ended.err
        return
    assert ended.code == 0, ended.err
    assert "LSTM(5)" in le.load(tmp_path / "layer.lstm").summary()


def test_a_package_itself_and_a_file_that_imports_from_the_working_folder(cli, tmp_path, monkeypatch):
    for folder in ("zoo", "nets"):
        (tmp_path / folder).mkdir()
    (tmp_path / "zoo" / "__init__.py").write_text("from .layer import build\n")
    (tmp_path / "zoo" / "layer.py").write_text(LAYER.replace("SIZE", "4"))
    (tmp_path / "nets" / "top.py").write_text("from zoo.layer import build\n")
    monkeypatch.chdir(tmp_path)
    for source in ("zoo/__init__.py:build", "nets/top.py:build"):
        ended = cli("convert", source, "-o", "layer.lstm")
        assert ended.code == 0, ended.err


def test_code_that_changes_the_working_folder_gets_the_weights_that_were_named(cli, folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    named = torch.nn.Linear(2, 2)
    torch.save(named.state_dict(), folder / "w.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), folder / "elsewhere" / "w.pt")
    monkeypatch.chdir(folder)
    ended = cli("convert", "model.py:moves", "--weights", "w.pt")
    assert ended.code == 0, ended.err
    x = np.eye(2, dtype=np.float32)
    # A product of two numbers and a sum, in float32.
    np.testing.assert_allclose(le.load("model.lstm").predict(x), named(torch.from_numpy(x)).detach().numpy(), rtol=0,
                               atol=1e-7)


def test_weights_that_are_not_there_are_said_before_the_code_is_run(cli, folder):
    ended = cli("convert", f"{folder / 'model.py'}:build", "--weights", folder / "w.pt")
    assert ended.code == 1 and ended.err.startswith("lstm-engine: error:") and "w.pt" in ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_code_does_not_outlive_the_program(sent, start_program, tmp_path):
    """Its stderr is the program's, and ends where the last of the two does."""
    (tmp_path / "slow.py").write_text("import sys, time\n\n\ndef build():\n    print('begun')\n    sys.stdout.flush()\n"
                                      "    time.sleep(3600)\n")
    (tmp_path / "files").mkdir()
    process = start_program("convert", f"{tmp_path / 'slow.py'}:build", env={"TMPDIR": str(tmp_path / "files")})
    assert any(b"begun" in line for line in process.stderr)
    process.send_signal(sent)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent), err
    assert b"Traceback" not in err
    assert not list((tmp_path / "files").glob("lstm-engine-*"))
