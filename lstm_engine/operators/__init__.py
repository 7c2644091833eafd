"""ONNX's operators around the recurrent core: what is known of each, in one place, a family a file.

`declare` in the file of a family gives an operator its row, its shapes, its NumPy kernel and how that is repeated,
which axes it keeps apart, what it costs. Importers, plans and the check of a whole graph ask the registry; what runs
an operator's rows in the C core is a lowering in `plan/`. The files of families are loaded when the registry is first
asked (`families.py`): a model of layers alone has no operators, and needs none of them.
"""

from .inference import infer_shapes
from .run import compile_operator, compile_step, operator_kernel, run_operator
from .spec import OPERATORS, OperatorSpec, operator_attributes, operator_shapes, supported_operators
from .validate import Checked, checked, validate

__all__ = ["OPERATORS", "Checked", "OperatorSpec", "checked", "compile_operator", "compile_step", "infer_shapes",
           "operator_attributes", "operator_kernel", "operator_shapes", "run_operator", "supported_operators",
           "validate"]
