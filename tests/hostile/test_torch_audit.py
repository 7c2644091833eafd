"""An audit hook watches the interpreter while hostile files are read: nothing of theirs is imported, opened or run.

In a process of its own, because an audit hook cannot be taken off.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from children import HANG
from torch_bytes import (
    archive,
    call,
    checkpoint,
    instance,
    items,
    legacy,
    listed,
    mapping,
    number,
    pickled,
    safetensors,
    storage,
    symbol,
    tensor,
    text,
    write,
)

from lstm_engine.errors import UnsupportedError
from lstm_engine.importers.base import ImportOptions

MARKER = "lstm_engine_was_here"
WATCHER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from lstm_engine.errors import LstmEngineError
    from lstm_engine.importers import arrays, torch
    from lstm_engine.importers.base import ImportOptions

    spec = {"inputs": [{"name": "x", "shape": ["batch", 3]}], "nodes": [{"op": "Dense", "name": "d", "kernel": "w"}]}
    gru = {"inputs": [{"name": "x", "shape": ["batch", "time", 2]}], "nodes": [{"op": "GRU", "name": "g", "torch": ""}]}
    good, *files = map(Path, sys.argv[1:])
    torch.read(good)                     # whatever the standard library and NumPy load late is loaded now
    events, watching = [], False

    def hook(event, arguments):
        if watching and event != "builtins.id":        # the walk through a checkpoint asks for ids itself
            events.append((event, repr(arguments)))

    sys.addaudithook(hook)
    watching = True
    for path in files:
        events.clear()
        try:
            if path.suffix == ".npz":
                arrays.read(path, ImportOptions(spec=spec))
            else:
                try:
                    torch.read(path)
                except LstmEngineError:
                    torch.read(path, ImportOptions(spec=gru))
            outcome = "read"
        except LstmEngineError as error:
            outcome = type(error).__name__
        seen = list(events)
        watching = False
        print(path.name, outcome, *(f"{event}{arguments}" for event, arguments in seen
                                    if not (event == "open" and str(path) in arguments)), sep="\\t")
        watching = True
""")
SYSTEM = call(symbol("os", "system"), text(f"touch {MARKER}"))
GRU = mapping({"weight_ih_l0": tensor((3, 2), (2, 1)), "weight_hh_l0": tensor((3, 1), (1, 1))})


HOSTILE = {
    "call.pt": checkpoint(mapping({"w": SYSTEM})),
    "call_legacy.pt": legacy(mapping({"w": SYSTEM})),
    "call_in_preamble.pt": legacy(b"}").replace(pickled(number(1001)), pickled(SYSTEM), 1),
    "call_in_keys.pt": legacy(GRU, keys=listed(SYSTEM)),
    "eval.pt": checkpoint(call(symbol("builtins", "eval"), text(f"open('{MARKER}', 'w')"))),
    "open.pt": checkpoint(call(symbol("builtins", "open"), text(MARKER), text("w"))),
    "import.pt": checkpoint(mapping({"w": symbol("antigravity", "fly"), "v": symbol("this", "s")})),
    "import_called.pt": checkpoint(call(symbol("antigravity", "fly"))),
    "stack_global.pt": checkpoint(text("os") + text("system") + b"\x93" + items(text(f"touch {MARKER}")) + b"R"),
    "newobj.pt": checkpoint(instance("subprocess", "Popen", mapping({"args": text(f"touch {MARKER}")}))),
    "setstate.pt": checkpoint(instance("logging.config", "dictConfig", mapping({"x": tensor()}))),
    "from_type.pt": checkpoint(call(symbol("torch._tensor", "_rebuild_from_type_v2"), symbol("os", "system"), b"N",
                                    items(text(f"touch {MARKER}")), b"N")),
    "persistent.pt": checkpoint(mapping({"w": tensor(over=storage("../../../../../../etc/passwd"))})),
    "location.pt": checkpoint(mapping({"w": tensor(over=items(text("storage"), symbol("torch", "FloatStorage"),
                                                              text("0"),
                                                              SYSTEM, number(12)) + b"Q")})),
    "torchscript.pt": checkpoint(instance("__torch__", "Net", GRU), **{
        "code/__torch__.py": f"open('{MARKER}', 'w')".encode(), "constants.pkl": pickled(SYSTEM)}),
    "module.pt": checkpoint(instance("my.own.package", "Net", mapping({"_parameters": GRU, "_modules": b"}"}))),
    "traversal.pt": archive({"a/data.pkl": pickled(GRU), f"../{MARKER}": b"x", "a/data/0": bytes(48)}),
    "header.safetensors": safetensors(b"__import__('os').system('touch " + MARKER.encode() + b"')"),
    "object.npz": archive({"w.npy": b"\x93NUMPY\x01\x00\x3f\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': "
                                                                   b"(1,), }"
                           .ljust(63) + pickled(SYSTEM)}),
    "header.npz": archive({"w.npy": b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')"}),
}
READABLE = {"torchscript.pt", "module.pt"}              # by a spec: they hold code that is not read
BY_SPEC = {"inputs": [{"name": "x", "shape": ["batch", "time", 2]}], "nodes": [{"op": "GRU", "name": "g", "torch": ""}]}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    paths = [write(folder, checkpoint(GRU), "good.pt"), *(write(folder, data, name) for name, data in HOSTILE.items())]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", WATCHER, *map(str, paths)], capture_output=True, text=True, cwd=folder,
                          env=os.environ | {"PYTHONPATH": str(root)}, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob(f"**/{MARKER}")) and not (folder.parent / MARKER).exists()
    return {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_imported_opened_or_executed(report, name):
    outcome, *events = report[name]
    assert outcome == "read" if name in READABLE else outcome in ("FormatError", "UnsupportedError")
    assert events == []


def test_the_watcher_sees_what_a_real_unpickler_does(tmp_path):
    """The hook is no decoration: the same bytes given to pickle raise events at once."""
    code = ("import sys, pickle; events = []; sys.addaudithook(lambda event, arguments: events.append(event))\n"
            "try: pickle.loads(sys.stdin.buffer.read())\n"
            "except Exception: pass\n"
            "print(*events)")
    done = subprocess.run([sys.executable, "-c", code], input=pickled(call(symbol("os", "system"), text("exit 0"))),
                          capture_output=True, cwd=tmp_path, timeout=HANG, check=True)
    assert {"pickle.find_class", "os.system"} <= set(done.stdout.decode().split())


def test_the_readable_ones_have_their_weights(tmp_path):
    from lstm_engine.importers import torch as importer
    for name in sorted(READABLE):
        path = write(tmp_path, HOSTILE[name], name)
        with pytest.raises(UnsupportedError, match="code"):
            importer.read(path)
        graph = importer.read(path, ImportOptions(spec=BY_SPEC))
        np.testing.assert_array_equal(np.sort(graph.nodes[0].W.ravel()), np.arange(6.0))
