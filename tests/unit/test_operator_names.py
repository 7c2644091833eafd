"""A fact about an operator stands with the operator: outside `operators/` no collection lists operators by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lstm_engine
from lstm_engine.operators import OPERATORS

PACKAGE = Path(lstm_engine.__file__).parent
FEWEST = 3

# Files that may list operators, each with its reason. Tables that translate another vocabulary say which of ONNX's
# operators a word of it is; what they know is the other vocabulary.
EXCEPTED = {
    "importers/keras/mapping/lambdas.py": "TensorFlow's functions, as Keras' operations",
    "importers/keras/mapping/mathematics.py": "Keras' functions of numbers, as the operators that they are",
    "importers/keras/mapping/merging.py": "Keras' merging layers, as the operators that they are",
    "importers/keras/mapping/operations.py": "Keras' operations, as the operators that they are",
    "importers/keras/mapping/registry.py": "Keras' layers that take masks, some of the same names",
    "importers/keras/reading/owners.py": "Keras' layers, some of the same names, and the order of their arrays",
    "importers/torch/modules/live.py": "classes of torch, some of the same names, as activations",
    "importers/torch/modules/pickled.py": "classes of torch, some of the same names, as activations",
    "importers/torch/program/elementwise.py": "torch's functions, as the operators that they are",
    "importers/torch/program/guards.py": "Python's operators in a program's conditions, as ONNX's",
    "importers/torch/program/sizes.py": "Python's operators on sizes, as ONNX's",
    "reference/operators.py": "what onnx.reference lacks or has wrong: an oracle asks nothing of the engine",
}


def listed(text: str) -> Iterator[tuple[int, set[str]]]:
    """The line and names of each set, list, tuple, dict or string of words in Python text that lists operators."""
    for node in ast.walk(ast.parse(text)):
        members: list[ast.expr | None] = []
        if isinstance(node, ast.Set | ast.List | ast.Tuple):
            members = list(node.elts)
        elif isinstance(node, ast.Dict):
            members = [*node.keys, *node.values]
        words = [member.value for member in members if isinstance(member, ast.Constant)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split()
            if not set(words) <= OPERATORS.keys():
                continue                        # a sentence
        names = {word for word in words if isinstance(word, str) and word in OPERATORS}
        if len(names) >= FEWEST:
            yield node.lineno, names


def test_no_file_lists_operators():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("operators/"):
            found.update({name: lists} if (lists := list(listed(path.read_text(encoding="utf-8")))) else {})
    assert {name: lists for name, lists in found.items() if name not in EXCEPTED} == {}
    assert EXCEPTED.keys() == found.keys(), "an exception that is no longer needed"


@pytest.mark.parametrize("text", [
    'x = {"Add", "Sub", "Mul"}', 'x = ["Add", "Sub", "Mul", 3]', 'if op in ("Add", "Sub", "Mul"): pass',
    'x = {"Add": 1, "Sub": 2, "Mul": 3}', 'x = {"plus": "Add", "minus": "Sub", "times": "Mul"}',
    'x = frozenset("Add Sub Mul".split())', 'x = """Add Sub\n    Mul"""',
    'x = {"Add", "Sub"} | set(("Relu", "Abs", "Neg"))',
])
def test_a_list_is_found(text):
    assert len(list(listed(text))) == 1


@pytest.mark.parametrize("text", ['x = {"Add", "Sub"}', '"Add a Sub to a Mul"', 'x = ["add", "sub", "mul"]'])
def test_what_is_no_list_is_not(text):
    assert list(listed(text)) == []
