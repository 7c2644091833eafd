"""When the families of operators are loaded: once somebody asks for an operator.

A file of this folder that declares operators is a family. A model of recurrent, Dense, Embedding and pooling layers has
none of ONNX's operators, and a process that runs one alone should not pay for them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .spec import OperatorSpec

FAMILIES = ("activations", "attention", "choosing", "convolution", "elementwise", "indexing", "microsoft",
            "microsoft_linear", "normalization", "pooling", "products", "quantization", "quantized_lstm", "reductions",
            "reshaping", "resizing", "signal", "sizes", "slicing", "transposed")

_T = TypeVar("_T")


class Declared(MutableMapping[str, _T]):
    """What families declare, by name. Whoever reads it sees all of it."""

    def __init__(self) -> None:
        self._declared: dict[str, _T] = {}
        self._whole = False

    def _all(self) -> dict[str, _T]:
        # Threads that come here at once import the same files, which Python does once; none goes on before it is done.
        # Where one is not loaded to its end (Ctrl-C, no memory), the next to ask has it loaded, and declared, again.
        if not self._whole:
            for family in FAMILIES:
                importlib.import_module(f"{__package__}.{family}")
            self._whole = True
        return self._declared

    def add(self, name: str, what: _T) -> None:
        """Declare; it loads nothing."""
        self._declared[name] = what

    def __getitem__(self, name: str) -> _T:
        return self._all()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __setitem__(self, name: str, what: _T) -> None:
        self._all()[name] = what

    def __delitem__(self, name: str) -> None:
        del self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


# All that is known of each operator; what stands there says `spec.OperatorSpec`.
OPERATORS: Declared[OperatorSpec] = Declared()
