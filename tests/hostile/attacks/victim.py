"""The victim's side: uses each file in a process of its own, and reports what came of it, one line of JSON an attack.

    python -m attacks.victim        (the request comes on standard input; `run` writes it)

The process first loads the whole package and uses a good file of the same format, so that whatever is loaded late is
loaded, and then forks once for each attack. In the fork, limits are set, an audit hook watches the interpreter, and the
peak of its memory is counted from zero. A further process, which the package itself starts and confines, reads HDF5 and
protobuf; its memory is counted too.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANG_SECONDS = 120                   # a guard, no measure: nothing here takes a tenth of it
ADDRESS_SPACE = 4 << 30              # beyond what the process has when it begins
FILE_BYTES = 256 << 20               # that it may write to one file
MEBIBYTE = 1 << 20
SANITIZED = "LSTM_ENGINE_SANITIZED" in os.environ        # tools/sanitize_extension.py: memory is another there

# What the interpreter, NumPy and the package do by themselves, without a file's help.
HARMLESS = {"builtins.id", "object.__getattr__", "object.__setattr__", "sys._getframe", "sys._getframemodulename",
            "compile", "_thread.start_new_thread", "os.listdir", "os.scandir", "fcntl.flock", "gc.freeze",
            "cpython._PySys_ClearAuditHooks", "time.sleep", "os.chmod", "os.rename", "os.remove", "os.mkfifo",
            "signal.pthread_sigmask", "os.fork", "os.symlink", "os.truncate", "weakref.ref"}


def use_named(text: str) -> Callable[..., Any]:
    """The function "module:name" of this package."""
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)


def main() -> None:
    request = json.load(sys.stdin)
    warm_up(request["warm_up"])
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    for attack in request["attacks"]:
        print(json.dumps(attempt(attack, before)), flush=True)


def warm_up(good: dict) -> None:
    """Load every module of the package, then use a good file, and one that is not there: all that is loaded late."""
    package = importlib.import_module("lstm_engine")
    for module in pkgutil.walk_packages(package.__path__, "lstm_engine."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    "".encode("cp437")                                   # as names in zip archives are
    importlib.import_module("numpy.ma")                  # which NumPy itself leaves for later
    for op in importlib.import_module("lstm_engine.graph.nodes").NODE_TYPES:
        importlib.import_module("lstm_engine.format.codec")._record(op)     # evaluates the annotations of its fields
    use = use_named(good["use"])
    use(Path(good["path"]))
    try:
        use(Path(good["path"]).with_name("absent" + Path(good["path"]).suffix))
    except Exception:
        pass


def attempt(attack: dict, children_before: int) -> dict:
    """Use the attack's file in a fork; its report, or how the fork ended where it could not write one."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)     # what is printed is no report
        try:
            report = watched(attack, children_before)
        except BaseException as error:                  # a fault of this file: told as what it is
            report = {"harness": repr(error)}
        os.write(writer, json.dumps(report).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    report = json.loads(data) if data else {"ended": f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status)
                                            else f"exit code {os.WEXITSTATUS(status)}"}
    return {"key": attack["key"], **report}


def watched(attack: dict, children_before: int) -> dict:
    """One use under limits, watched and measured."""
    use, path, folder = use_named(attack["use"]), Path(attack["path"]), os.path.realpath(attack["folder"])
    os.chdir(folder)
    limit()
    events: list[str] = []
    watch = watch_for(events, folder, (str(path), str(path.with_name("spec.json"))))
    own_before = reset_peak()
    began = time.perf_counter()
    watch(True)
    try:
        report: dict[str, Any] = {"numbers": _plain(use(path))}
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        message = str(error).replace(str(path.parent) + os.sep, "")       # a folder's name is no part of what is said
        report = {"error": type(error).__name__, "kinds": kinds, "message": message}
    finally:
        watch(False)
    own = peak() - own_before
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    other = max(0, children - children_before) * _RSS_UNIT if children else 0
    return {**report, "events": events, "ms": (time.perf_counter() - began) * 1e3,
            "mb": max(0.0, (own + other) / MEBIBYTE)}


def _plain(value: Any) -> Any:
    from .uses import plain

    return plain(value)


def limit() -> None:
    """A hang, a crash's core file and a run for memory end here, and not at the machine's end."""
    signal.alarm(HANG_SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    if sys.platform.startswith("linux") and not SANITIZED:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def parent_of(process: int) -> int | None:
    """The process that started this one; None where the system does not say."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


_RSS_UNIT = 1 if sys.platform == "darwin" else 1024          # of ru_maxrss


def reset_peak() -> int:
    """Count the peak of this process' memory from now on; bytes that it has."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return peak()


def peak() -> int:
    """The most bytes of memory that this process had."""
    try:
        lines = Path("/proc/self/status").read_text().split("\n")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def watch_for(events: list[str], folder: str, named: tuple[str, ...]) -> Callable[[bool], None]:
    """Put in `events` what the interpreter does that a reader of files in `folder`, and of those that the caller has
    named, has no business to do."""
    code = [os.path.realpath(place) for place in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix}]
    code.append(str(Path(importlib.import_module("lstm_engine").__file__).parent))
    watching = False

    def under(path: Any, places: list[str], last: bool = True) -> bool:
        """Whether a path leads below one of these places; its last step is not followed where the call does not."""
        text = os.path.abspath(os.fsdecode(path))
        real = os.path.realpath(text) if last else os.path.join(os.path.realpath(os.path.dirname(text)),
                                                                os.path.basename(text))
        return any(real == place or real.startswith(place + os.sep) for place in places)

    def allowed(event: str, arguments: tuple) -> bool:
        if event in HARMLESS:
            return True
        if event == "open":
            path, _, flags = arguments
            written = flags & (os.O_WRONLY | os.O_RDWR)
            return isinstance(path, int) or path in (os.devnull, *named) \
                or under(path, [folder], not flags & os.O_NOFOLLOW) or (not written and under(path, code))
        if event == "subprocess.Popen":                 # the package's own sandbox
            return arguments[0] == sys.executable and "-I" in arguments[1]
        if event == "os.kill":                          # the end of that sandbox
            return parent_of(arguments[0]) in (os.getpid(), None)
        return event == "sys.addaudithook" and not arguments           # of `calls`

    def hook(event: str, arguments: tuple) -> None:
        nonlocal watching
        if watching:
            watching = False                            # what is asked here is no business of the file's
            try:
                if len(events) < 20 and not allowed(event, arguments):
                    events.append(f"{event}{arguments!r}"[:300])
            finally:
                watching = True

    def watch(on: bool) -> None:
        nonlocal watching
        watching = on

    sys.addaudithook(hook)
    return watch


if __name__ == "__main__":
    main()
