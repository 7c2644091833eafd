"""What all models share: the number of threads, the instruction set, and what this build can do."""

from __future__ import annotations

import os
from typing import Any

from . import _core
from .arguments import shown, whole_number
from .cpus import usable_cpus
from .errors import ArgumentError, UnsupportedError

MOST_THREADS = 1024
_threads: int | None = None
_machine_threads = usable_cpus()


def _positive(value: object, name: str, text: bool = False) -> int:
    """A number of threads; as text where the environment says it."""
    try:
        number = int(value) if text else whole_number(value, name, most=MOST_THREADS)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= MOST_THREADS:
        raise ArgumentError(f"{name} must be a whole number from 1 to {MOST_THREADS}, got {shown(value)}")
    return number


# Read once, as OpenMP reads its own; checked where they are used, so that a bad value is an error of the call.
_environment_threads = os.environ.get("LSTM_ENGINE_NUM_THREADS")
_threading = os.environ.get("LSTM_ENGINE_THREADING") or None
_isa = os.environ.get("LSTM_ENGINE_ISA") or None


def checking_wanted() -> bool:
    """Whether LSTM_ENGINE_CHECK=1 asks that every step of a run be repeated beside the reference; see `checking`."""
    return os.environ.get("LSTM_ENGINE_CHECK", "") not in ("", "0")


def num_threads(threads: int | None = None) -> int:
    """Threads a call uses: the argument, else `set_num_threads`, else LSTM_ENGINE_NUM_THREADS, else OpenMP's limit
    (which threadpoolctl can lower) or the CPUs this process may use, whichever is less."""
    if not threading_known:
        raise ArgumentError(f"LSTM_ENGINE_THREADING={_threading} is not in this build; it has "
                            f"{', '.join(_core.threadings())}")
    if threads is not None:
        return _positive(threads, "threads")
    if not threads_known:
        return _positive(_environment_threads, "LSTM_ENGINE_NUM_THREADS", text=True)
    return _core.default_threads()


def set_num_threads(threads: int | None) -> None:
    """Threads of every later call; None goes back to the default. Raises ArgumentError for less than 1."""
    global _threads
    _threads = None if threads is None else _positive(threads, "threads")
    _tell_core()


def _tell_core() -> None:
    """The core counts for itself: a call of one step has no time to ask."""
    global threads_known
    fixed = _threads or 0
    threads_known = True
    if not fixed and _environment_threads:
        try:
            fixed = _positive(_environment_threads, "LSTM_ENGINE_NUM_THREADS", text=True)
        except ArgumentError:
            threads_known = False
    threads_known = threads_known and threading_known
    _core.set_default_threads(fixed, _machine_threads)


threading_known = _threading is None or _core.set_threading(_threading)
threads_known = True        # not so after a bad LSTM_ENGINE_NUM_THREADS, until `set_num_threads`
_tell_core()


def set_isa(name: str | None) -> None:
    """Instruction set of every model built or loaded later: "scalar", "avx2", "avx512", "neon"; None: the best.

    Raises UnsupportedError if this CPU lacks it, ArgumentError for a name this build does not have.
    """
    global _isa
    _isa = None if name is None else _checked_isa(name)


def _checked_isa(name: Any) -> str:
    known = {isa: (description, here) for isa, description, here in _core.isas()}
    if not isinstance(name, str) or name not in known:
        raise ArgumentError(f"instruction set {shown(name)} is not in this build; it has {', '.join(known)}")
    if not known[name][1]:
        raise UnsupportedError(f"this CPU cannot run the instruction set {name} ({known[name][0]})")
    return str(name)


def isa() -> str:
    """The instruction set that models built now use."""
    if _isa is not None:
        return _checked_isa(_isa)
    return [name for name, _, here in _core.isas() if here][-1]


def info() -> dict[str, Any]:
    """What this build and machine can do: version, isa (in use), isas (that this CPU runs), products (what multiplies
    quantised weights, by their type), threads, threading (the team of threads in use: "native", or "openmp" by
    LSTM_ENGINE_THREADING), openmp (whether it is in the build), blas, and sandbox: what confines the process in which
    files of others are parsed."""
    from . import __version__, blas
    from .importers.reading import confinement

    return {
        "version": __version__,
        "isa": isa(),
        "isas": [name for name, _, here in _core.isas() if here],
        "products": _core.products(isa()),
        "threads": num_threads(),
        "threading": _core.threading(),
        "openmp": _core.has_openmp(),
        "blas": blas.provider(),
        "sandbox": confinement.missing() or "limits, and a filter of system calls",
    }
