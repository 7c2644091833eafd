"""Writes the signatures of torch's operators that the importer knows, from an installed torch: TorchScript's code gives
arguments by place, and the importer takes them by name.

    python tools/make_torch_schemas.py [--check]

A line of lstm_engine/importers/torch/script/operators.txt is an operator with its overload, its arguments (type, name,
default; those behind * by name alone) and its results. --check: print what differs, and exit 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "lstm_engine/importers/torch/script/operators.txt"
# The type of an argument, in fewer words: symbolic sizes are ints, and what holds no number is "inert".
TYPES = {"SymInt": "int", "Layout": "inert", "Device": "inert", "MemoryFormat": "inert", "Generator": "inert",
         "ScalarType": "dtype", "number": "Scalar", "Stream": "inert"}


def lines() -> list[str]:
    """One for each overload in the importer's table, and each in place of one; none that writes into `out`."""
    import torch

    from lstm_engine.importers.torch.program import convert  # noqa: F401  (fills the table)
    from lstm_engine.importers.torch.program.registry import TABLE

    found: dict[str, str] = {}
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        key = f"{name}.{schema.overload_name or 'default'}"
        plain = f"{name.removesuffix('_')}.{schema.overload_name or 'default'}"
        if space == "aten" and (key in TABLE or name.endswith("_") and plain in TABLE):
            if not any(argument.is_out for argument in schema.arguments):
                found[key] = _line(key, schema)
    return [found[key] for key in sorted(found)]


def _line(key: str, schema: Any) -> str:
    parts, by_name = [], False
    for argument in schema.arguments:
        if argument.kwarg_only and not by_name:
            parts.append("*")
            by_name = True
        default = f"={argument.default_value!r}" if argument.has_default_value() else ""
        parts.append(f"{_type(argument)} {argument.name}{default}")
    results = ", ".join(_word(str(result.type)) for result in schema.returns)
    return f"{key}({', '.join(parts)}) -> {results}"


def _type(argument: Any) -> str:
    return _word(str(argument.real_type)) if hasattr(argument, "real_type") else _word(str(argument.type))


def _word(text: str) -> str:
    if text.startswith("Optional["):
        return _word(text[len("Optional["):-1]) + "?"
    if text.startswith("List["):
        return _word(text[len("List["):-1]) + "[]"
    return TYPES.get(text, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    made = "".join(f"{line}\n" for line in lines())
    if parser.parse_args().check:
        held = FILE.read_text(encoding="utf-8")
        differ = sorted(set(made.splitlines()) ^ set(held.splitlines()))
        print("\n".join(differ))
        return 1 if differ else 0
    FILE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
