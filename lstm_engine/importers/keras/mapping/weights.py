"""The arrays of a model by the path of their layer, and the checks of their shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ....errors import FormatError, UnsupportedError
from ..reading.config import Layer

_VARIABLE = re.compile(r"(?:(.*)/)?vars/(\d{1,6})")

# Keras itself does not find them there either.
_ELSEWHERE = ("; if the layer is used in several models, its arrays are at one of these places alone, and JSON does "
              "not say which: save the whole model (model.save('model.keras'))")


class Weights:
    """Arrays called "<path>/vars/<number>", by path and in the order of the numbers.

    float_type: "float64" if any floating-point array is, else "float32"; all of them are handed out as that
    (float16 and bfloat16 are widened). Where there are none it is `otherwise`. beside_json: what they are of is said by
    a JSON file.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], otherwise: str = "float32", beside_json: bool = False) -> None:
        self._beside_json = beside_json
        self._groups: dict[str, dict[int, np.ndarray]] = {}
        for name, array in arrays.items():
            match = _VARIABLE.fullmatch(name)
            if not match:
                raise FormatError(f"HDF5 dataset {name!r}: expected a name that ends in vars/<number>")
            group = self._groups.setdefault(match[1] or "", {})
            if int(match[2]) in group:
                raise FormatError(f"HDF5 dataset {name!r} is there twice")
            group[int(match[2])] = array
        self._left = {path for path in self._groups if not path.endswith("seed_generator")}    # of training
        widths = {array.dtype.itemsize for array in arrays.values() if array.dtype.kind == "f"}
        self.float_type = ("float64" if max(widths) > 4 else "float32") if widths else otherwise

    def take(self, layer: Layer, counts: Sequence[int], *inside: str, once: bool = False, counted: int = 0
             ) -> list[np.ndarray]:
        """The arrays of a layer: those at the first of the places `inside` it that has any ("" is itself).

        counts: how many there may be. once: they are not asked for again and need not be kept. counted: how many at the
        end only count what training saw, and are left out.
        Raises FormatError, naming the layer, if it has none or another number.
        """
        for place in inside or ("",):
            path = f"{layer.path}/{place}" if place else layer.path
            group = self._groups.get(path)
            if group:
                break
        else:
            group, path = {}, "/".join(filter(None, (layer.path, (inside or ("",))[0])))
        if sorted(group) != list(range(len(group))) or len(group) not in counts:
            expected, lost = " or ".join(map(str, counts)), self._beside_json and not group
            raise FormatError(f"{layer}: expected {expected} arrays at {path}/vars, found "
                              f"{', '.join(map(str, sorted(group))) or 'none'}{_ELSEWHERE if lost else ''}")
        made = [self._numbers(layer, group[number]) for number in sorted(group)[:len(group) - counted]]
        self._left.discard(path)
        if once:
            del self._groups[path]
        return made

    def pass_over(self, layer: Layer) -> None:
        """Note that what stands at a layer's own path is of training alone."""
        self._left.discard(layer.path)

    def left(self) -> list[str]:
        """The paths of arrays that no layer took."""
        return sorted(self._left)

    def _numbers(self, layer: Layer, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind != "f":
            raise UnsupportedError(f"{layer}: its weights are {array.dtype}; supported: floating-point weights "
                                   "(a quantized Keras model must be dequantized before it is saved)")
        return array.astype(self.float_type, copy=False)


def check_shape(layer: Layer, what: str, array: np.ndarray, *shape: int | None) -> None:
    """Raise FormatError unless an array has this shape (None: any size)."""
    if array.ndim != len(shape) or any(want not in (None, size) for want, size in zip(shape, array.shape)):
        expected = ", ".join("any" if want is None else str(want) for want in shape)
        raise FormatError(f"{layer}: {what} has the shape {list(array.shape)}; expected [{expected}]")
