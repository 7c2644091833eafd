"""ONNX's operators around the recurrent core: what is known of each, in one place, a family a file.

`declare` in the file of a family gives an operator its row, its shapes, its NumPy kernel and how that is repeated,
which axes it keeps apart, what it costs. Importers, plans and the check of a whole graph ask the registry; what runs
an operator's rows in the C core is a lowering in `plan/`. The files of families are loaded when the registry is first
asked (`families.py`), and what is named here when it is first used: a model of layers alone has no operators, and needs
little of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .families import OPERATORS

if TYPE_CHECKING:
    from .check import Checked, checked, validate
    from .inference import infer_shapes
    from .run import compile_operator, compile_step, operator_kernel, run_operator
    from .same_types import check_types
    from .spec import OperatorSpec, operator_attributes, operator_shapes, supported_operators

__all__ = ["OPERATORS", "Checked", "OperatorSpec", "check_types", "checked", "compile_operator", "compile_step",
           "infer_shapes", "operator_attributes", "operator_kernel", "operator_shapes", "run_operator",
           "supported_operators", "validate"]

_HOMES = {"check": ("Checked", "checked", "validate"),
          "inference": ("infer_shapes",),
          "run": ("compile_operator", "compile_step", "operator_kernel", "run_operator"),
          "same_types": ("check_types",),
          "spec": ("OperatorSpec", "operator_attributes", "operator_shapes", "supported_operators")}

if not TYPE_CHECKING:
    def __getattr__(name: str) -> object:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return value
