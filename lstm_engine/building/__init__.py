"""Models from the user's own code: `model.py:build` makes the module, in a process of its own.

    child       what runs there: the function, the weights into its module, the conversion

It is the way out where a file holds weights alone: only the code says what is computed with them. The code is run as
`python model.py` would run it, with all that it may do; the file of weights is read as data, as everywhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .. import errors, format
from ..errors import LstmEngineError
from ..graph import Graph
from ..limits import Limits

_RECIPE = re.compile(r"(?P<file>.+\.py):(?P<function>[^\W\d]\w*(?:\.[^\W\d]\w*)*)", re.DOTALL)
# The working folder, which `-c` looks in first, may have a json.py.
_BOOTSTRAP = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json
with open(sys.argv[1], encoding="utf-8") as file:
    request = json.load(file)
sys.path[:] = request["sys_path"]
from lstm_engine.building.child import main
main(request)
"""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A function of the user's that builds a module: `file`, and the name that it has there."""

    file: Path
    function: str

    @classmethod
    def of(cls, source: str | os.PathLike[str]) -> Recipe | None:
        """The recipe in `model.py:build`; None for any other path."""
        match = _RECIPE.fullmatch(os.fspath(source))
        return Recipe(Path(match["file"]), match["function"]) if match else None

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


def build(recipe: Recipe, weights: Path | None, limits: Limits) -> tuple[Graph, list[str]]:
    """The graph of the module that the recipe builds, with the weights of a file in it, and what is to be said of it.

    The function takes no arguments and returns a torch.nn.Module, or (module, example_inputs) where what its forward
    takes cannot be told from its first layer. weights: None: those that the function gives it. The converted model is
    compared with the module as `convert` compares live modules. Raises LstmEngineError, of the class that was raised
    there; UnsupportedError for what the user's code raises.
    """
    with tempfile.TemporaryDirectory(prefix="lstm-engine-") as folder:
        # Whole paths: the user's code may change the working folder.
        files = {name: os.path.abspath(os.path.join(folder, name))
                 for name in ("request.json", "answer.json", "model.lstm")}
        request = {"sys_path": [os.path.abspath(entry) for entry in sys.path], "file": str(recipe.file),
                   "function": recipe.function, "weights": None if weights is None else os.path.abspath(weights),
                   "limits": dataclasses.asdict(limits), **files}
        Path(files["request.json"]).write_text(json.dumps(request), encoding="utf-8")
        ended = _run([sys.executable, "-c", _BOOTSTRAP, files["request.json"]])
        if not os.path.exists(files["answer.json"]):
            raise LstmEngineError(f"{recipe}: its process {_ending(ended)}, and gave no model")
        answer = json.loads(Path(files["answer.json"]).read_text(encoding="utf-8"))
        if "error" in answer:
            kind = getattr(errors, answer["kind"], LstmEngineError)
            raise kind(answer["error"])
        graph = format.load(files["model.lstm"])
    code = f"{recipe.file.name}:{recipe.function}"
    source = code if weights is None else f"{code} with {weights.name}"
    origin = {"source": source.encode("utf-8", "backslashreplace").decode()}
    return dataclasses.replace(graph, metadata={**graph.metadata, **origin}), answer["said"]


def _run(command: list[str]) -> int:
    """The code with which a process ended. Its stdin is a pipe that nothing is written to: where this process ends,
    however it does, the pipe does too, and with it the other process (child.py)."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
