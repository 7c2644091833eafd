"""Show the version, the instruction sets and threads in use, and which optional packages are there."""

from __future__ import annotations

import argparse

from .arguments import print_json

PACKAGES = ("numpy", "h5py", "onnx", "keras", "torch", "onnxruntime")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    import platform

    from ..runtime import info

    facts = {**info(), "python": platform.python_version(), "platform": platform.platform(),
             "packages": {name: _version(name) for name in PACKAGES}}
    if arguments.json:
        print_json(facts)
        return 0
    for name, value in facts.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        if isinstance(value, dict):
            value = [f"{key} {one}" for key, one in value.items() if one]
        print(f"{name:<9} {', '.join(value) if isinstance(value, list) else value}")
    return 0


def _version(name: str) -> str | None:
    """The version of an installed package, without importing it."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
