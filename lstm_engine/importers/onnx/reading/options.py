"""What the caller may say of an ONNX model: values and sizes of its inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import ArgumentError, ArgumentTypeError
from ....graph.nodes import Dim, Value
from ...base import ImportOptions, are
from ...reading.spec_file import load_spec
from ..model import UNKNOWN_RANK, OnnxModel, of_rank


def apply_options(model: OnnxModel, options: ImportOptions) -> tuple[OnnxModel, dict[str, np.ndarray]]:
    """The model with the sizes that spec["shapes"] gives, and the inputs that spec["fixed"] makes constant.

    Raises ArgumentError for a name, size or value that does not fit the model's inputs; FileError and FormatError for a
    spec that is a file and cannot be read, or is no JSON.
    """
    if given := options.readings():
        raise ArgumentError(f"{are(given)} for sources that hold weights alone; an ONNX model says itself what it "
                            "computes")
    spec = _loaded(options.spec)
    unknown = set(spec) - {"fixed", "shapes"}
    if unknown:
        raise ArgumentError(f"spec of an ONNX model may hold 'fixed' and 'shapes', not {min(unknown, key=str)!r:.100}")
    inputs = {value.name: value for value in model.graph.inputs}
    for name in [*spec.get("fixed", ()), *spec.get("shapes", ())]:
        if name not in inputs:
            raise ArgumentError(f"spec names {name!r}; the inputs of the model are {', '.join(map(repr, inputs))}")
    sizes: dict[Dim, int] = {}
    for name, shape in spec.get("shapes", {}).items():
        if inputs[name].dtype.endswith(UNKNOWN_RANK) and isinstance(shape, (list, tuple)):
            inputs[name] = of_rank(inputs[name], len(shape))
        _note_sizes(inputs[name], shape, sizes)
    resized = [replace(v, shape=tuple(sizes.get(d, d) if isinstance(d, str) else d for d in v.shape))
               for v in inputs.values()]
    fixed = {value.name: _fixed(value, spec["fixed"][value.name]) for value in resized
             if value.name in spec.get("fixed", ())}
    return replace(model, graph=replace(model.graph, inputs=resized)), fixed


def _loaded(source: Mapping[str, Any] | str | os.PathLike[str] | None) -> Mapping[str, Any]:
    spec = {} if source is None else load_spec(source)
    if not all(isinstance(part, Mapping) for part in spec.values()):
        raise ArgumentTypeError("spec of an ONNX model must map 'fixed' and 'shapes' to mappings by input name")
    return spec


def _note_sizes(value: Value, shape: Any, sizes: dict[Dim, int]) -> None:
    """Remember the number for each symbol of an input; None leaves a size open."""
    if not isinstance(shape, (list, tuple)) or len(shape) != len(value.shape):
        raise ArgumentError(f"spec shapes of {value.name!r} must be {len(value.shape)} sizes, got {shape!r}")
    for dim, size in zip(value.shape, shape):
        if size is None:
            continue
        if type(size) is not int or size < 1 or sizes.setdefault(dim, size) != size or (
                isinstance(dim, int) and dim != size):
            raise ArgumentError(f"spec shapes of {value.name!r}: {list(shape)} does not fit {list(value.shape)}")


def _fixed(value: Value, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
        cast = array.astype(value.dtype, casting="same_kind" if array.dtype.kind == "f" else "unsafe")
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"spec fixed of {value.name!r}: cannot be {value.dtype}: {error}") from error
    fits = cast.ndim == len(value.shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(value.shape, cast.shape))
    if not fits or (array.dtype.kind in "iub" and not np.array_equal(cast, array)):
        raise ArgumentError(f"spec fixed of {value.name!r} must be {value.dtype} {list(value.shape)}, "
                            f"got {array!r:.200}")
    return cast
