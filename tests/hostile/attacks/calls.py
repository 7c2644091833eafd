"""What a caller, or somebody beside him, does: each function is a use of a path by the victim."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import uses


def before_opening(name: str, act: Callable[[], object]) -> None:
    """Act once, between whatever was checked before and the system's call that opens a file of this name."""
    done = False

    def hook(event: str, arguments: tuple) -> None:
        nonlocal done
        if event == "open" and not done and isinstance(arguments[0], str) and os.path.basename(arguments[0]) == name:
            done = True
            act()

    sys.addaudithook(hook)


def convert_while_folder_is_exchanged(path: Path) -> Any:
    """When the data in the folder d is opened, d becomes a link to a folder elsewhere, with a file of the same name."""
    return _convert_and_exchange(path, "w.bin")


def convert_before_folder_is_opened(path: Path) -> Any:
    """The same, a step earlier: when d itself is opened."""
    return _convert_and_exchange(path, "d")


def _convert_and_exchange(path: Path, when: str) -> Any:
    inside, outside = path.parent / "d", path.parent.parent / "outside"

    def exchange() -> None:
        inside.rename(inside.with_name("d.moved"))
        inside.symlink_to(outside)

    (outside / "secret.bin").rename(outside / "w.bin")
    try:
        before_opening(when, exchange)
        return uses.convert(path)
    finally:
        (outside / "w.bin").rename(outside / "secret.bin")


def convert_while_data_is_cut(path: Path) -> Any:
    """The data is cut to nothing as soon as its size was looked at."""
    status = os.fstat

    def cut(descriptor: int) -> os.stat_result:
        seen = status(descriptor)
        os.truncate(path.with_name("w.bin"), 0)
        return seen

    from lstm_engine.importers.onnx import external

    class Os:
        """The module os, with another fstat."""

        fstat = staticmethod(cut)

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    external.os = Os()  # type: ignore[attr-defined]
    return uses.convert(path)
