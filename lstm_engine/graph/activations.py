"""Activation functions by name: one vocabulary for every importer, the oracle and the C core.

Names follow ONNX's LSTM activations in lower snake case, then Keras' for those that ONNX lacks.
Source of the equations: the ONNX operator documentation (LSTM, "Equations"), keras.activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..arguments import shown
from ..errors import ArgumentError, UnsupportedError

# name -> (default alpha, default beta); None: the function takes no such parameter.
ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "linear": (None, None),
    "sigmoid": (None, None),
    "tanh": (None, None),
    "relu": (None, None),
    "affine": (1.0, 0.0),            # alpha*x + beta
    "leaky_relu": (0.01, None),      # x >= 0 ? x : alpha*x
    "thresholded_relu": (1.0, None),  # x > alpha ? x : 0
    "scaled_tanh": (1.0, 1.0),       # alpha*tanh(beta*x)
    "hard_sigmoid": (0.2, 0.5),      # min(max(alpha*x + beta, 0), 1); Keras 3 and PyTorch: alpha = 1/6
    "elu": (1.0, None),              # x >= 0 ? x : alpha*(exp(x) - 1)
    "softsign": (None, None),        # x / (1 + |x|)
    "softplus": (None, None),        # log(1 + exp(x))
    "selu": (1.6732632423543772, 1.0507009873554805),  # beta * (x >= 0 ? x : alpha*(exp(x) - 1))
    "gelu": (None, None),            # x/2 * (1 + erf(x / sqrt 2))
    "gelu_tanh": (None, None),       # the tanh approximation of gelu
    "silu": (None, None),            # x * sigmoid(x)
    "exponential": (None, None),     # exp(x)
    "relu6": (None, None),           # min(max(x, 0), 6)
    "mish": (None, None),            # x * tanh(softplus(x))
    "hard_silu": (None, None),       # x * hard_sigmoid(x, 1/6, 0.5)
    "hard_tanh": (None, None),       # min(max(x, -1), 1)
    "log_sigmoid": (None, None),     # -softplus(-x)
    "softmax": (None, None),         # over the last axis; Dense and Activate only, never inside a cell
    "log_softmax": (None, None),     # over the last axis; Dense and Activate only
}

ROW_WISE = frozenset({"softmax", "log_softmax"})
# Those of ONNX's LSTM, GRU and RNN, and among them those for whose alpha and beta ONNX states no default.
ONNX = ("affine", "relu", "leaky_relu", "thresholded_relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "elu",
        "softsign", "softplus")
WITHOUT_DEFAULTS = frozenset({"affine", "scaled_tanh"})


@dataclass(frozen=True)
class Activation:
    """One activation with its parameters resolved; `alpha` and `beta` are None where the function has none."""

    name: str
    alpha: float | None = None
    beta: float | None = None

    @classmethod
    def of(cls, name: str, alpha: float | None = None, beta: float | None = None) -> Activation:
        """The activation called `name` in this vocabulary, with defaults filled in.

        Raises UnsupportedError for a name that is not in `ACTIVATIONS`.
        """
        if name not in ACTIVATIONS:
            raise UnsupportedError(f"activation {shown(name)} is not supported; supported: {', '.join(ACTIVATIONS)}")
        default_alpha, default_beta = ACTIVATIONS[name]
        return cls(name,
                   None if default_alpha is None else float(default_alpha if alpha is None else alpha),
                   None if default_beta is None else float(default_beta if beta is None else beta))

    def __str__(self) -> str:
        given = [f"{v:g}" for v in (self.alpha, self.beta) if v is not None]
        return f"{self.name}({', '.join(given)})" if given else self.name


def from_onnx(names: Sequence[str], alphas: Sequence[float] = (), betas: Sequence[float] = (), own: bool = False,
              surplus: bool = False) -> list[Activation]:
    """Activations by ONNX's spelling in any case; alphas and betas go in order to the functions that take them.

    own: whether activations of the house that ONNX's operators lack may be named, too. surplus: whether values may be
    left over, which say nothing then.
    Raises UnsupportedError for an unknown name or one that works on whole rows, ArgumentError for values left over, or
    missing where ONNX states no default.
    """
    known = {name.replace("_", ""): name for name in (ACTIVATIONS if own else ONNX) if name not in ROW_WISE}
    left_alphas, left_betas = list(alphas), list(betas)
    functions = []
    for name in names:
        house = known.get(name.lower().replace("_", "")) if isinstance(name, str) else None
        if house is None:
            raise UnsupportedError(f"activation {shown(name)} is not supported; supported: {', '.join(known)} "
                                   "(in any case)")
        default_alpha, default_beta = ACTIVATIONS[house]
        if house in WITHOUT_DEFAULTS and not (left_alphas and left_betas):
            raise ArgumentError(f"activation {name} needs an alpha and a beta, for which ONNX states no default: give "
                                "them in activation_alpha and activation_beta")
        functions.append(Activation.of(house,
                                       left_alphas.pop(0) if default_alpha is not None and left_alphas else None,
                                       left_betas.pop(0) if default_beta is not None and left_betas else None))
    if (left_alphas or left_betas) and not surplus:
        raise ArgumentError(f"activation_{'alpha' if left_alphas else 'beta'} has more values than its activations "
                            f"({', '.join(names)}) take")
    return functions


SIGMOID = Activation("sigmoid")
TANH = Activation("tanh")
LINEAR = Activation("linear")
RELU = Activation("relu")
