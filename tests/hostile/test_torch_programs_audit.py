"""An audit hook watches the interpreter while programs are read: nothing of theirs is imported, opened or run.

In a process of its own, because an audit hook cannot be taken off. Conditions on sizes are parsed, as data, by Python's
parser; the hook sees that as "compile", and that nothing is executed.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

from torch_bytes import write
from torch_pt2 import WEIGHTS, pt2, small

WATCHER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from lstm_engine.errors import LstmEngineError
    from lstm_engine.importers import torch

    good, *files = map(Path, sys.argv[1:])
    torch.read(good)                     # whatever the standard library and NumPy load late is loaded now
    events, watching = [], False

    def hook(event, arguments):
        if watching and event not in ("builtins.id", "compile") and not (event == "open" and str(path) in arguments):
            events.append(f"{event}{arguments!r:.200}")

    sys.addaudithook(hook)
    for path in files:
        watching = True
        try:
            torch.read(path)
            outcome = "read"
        except LstmEngineError as error:
            outcome = type(error).__name__
        watching = False
        print(path.name, outcome, *events, sep="\\t")
    assert "torch" not in sys.modules
""")
CALL = "__import__('os').system('touch lstm_engine_was_here')"


def hostile():
    guarded = small()
    guarded["guards_code"] = [CALL]
    compared = small()
    compared["guards_code"] = [f"L['x'].size()[{CALL}] == {CALL}"]
    target = small()
    target["graph_module"]["graph"]["nodes"][1]["target"] = "os.system"
    named = small()
    named["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": CALL}}
    return {"guarded": guarded, "compared": compared, "target": target, "named": named}


def test_nothing_is_imported_opened_or_run(tmp_path):
    files = [write(tmp_path, pt2(small(), WEIGHTS), "good.pt2")]
    files += [write(tmp_path, pt2(tree, WEIGHTS), f"{name}.pt2") for name, tree in hostile().items()]
    ended = subprocess.run([sys.executable, "-c", WATCHER, *map(str, files)], cwd=tmp_path, capture_output=True,
                           text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    outcomes = [line.split("\t") for line in ended.stdout.splitlines()]
    assert [tuple(line[:2]) for line in outcomes] == [
        ("guarded.pt2", "UnsupportedError"), ("compared.pt2", "UnsupportedError"), ("target.pt2", "UnsupportedError"),
        ("named.pt2", "read")]
    assert all(len(line) == 2 for line in outcomes), outcomes
    assert not (tmp_path / "lstm_engine_was_here").exists()
