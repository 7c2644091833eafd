"""A live Keras model as the data that a file of it would hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ....errors import UnsupportedError
from .config import snake_case

# Where Keras' own saving looks for what is inside a layer.
_INSIDE = ("forward_layer", "backward_layer", "layer", "cell", "_query_dense", "_key_dense", "_value_dense",
           "_output_dense")
_LISTS = ("layers", "cells")
_KERAS = ("keras", "tf_keras", "tensorflow")


def contents_of(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `container.read_zip` would give for this model once saved.

    Raises UnsupportedError for a model that Keras itself cannot describe (a subclass of Model), or unbuilt.
    """
    try:
        config = json.loads(model.to_json())
    except Exception as error:
        raise UnsupportedError(
            f"a model of class {type(model).__name__!r} is not supported: Keras cannot say what it is made of "
            f"({error}); supported: Sequential, Functional, or an ONNX file of it (model.export)") from error
    _refuse_own_classes(model)
    if not getattr(model, "built", True):
        raise UnsupportedError("the model is not built, so it has no weights yet: call it once, or give it an Input")
    keras = keras_of(model)
    metadata = {"keras_version": keras.__version__, "backend": getattr(keras.backend, "backend", lambda: "")()}
    return {"config": config, "metadata": metadata, "vocabularies": dict(_vocabularies(model))}, dict(_arrays(model))


def keras_of(model: Any) -> Any:
    """The Keras that a live model is of, as a module."""
    root = next(cls.__module__.split(".")[0] for cls in type(model).__mro__ if cls.__name__ == "Model")
    return sys.modules["tensorflow"].keras if root == "tensorflow" else sys.modules[root]


def _placed(layer: Any, path: str) -> Iterator[tuple[Any, str]]:
    """A layer and all inside it, each with the path that Keras' own saving gives it."""
    yield layer, path
    prefix = f"{path}/" if path else ""
    for role in _INSIDE:
        inner = getattr(layer, role, None)
        if hasattr(inner, "save_own_variables"):
            yield from _placed(inner, f"{prefix}{role.lstrip('_')}")
    for role in _LISTS:
        counts: dict[str, int] = {}
        members = getattr(layer, role, None)
        for inner in members if isinstance(members, (list, tuple)) else ():
            group = snake_case(type(inner).__name__)
            index = counts[group] = counts.get(group, -1) + 1
            yield from _placed(inner, f"{prefix}{role}/{group}_{index}" if index else f"{prefix}{role}/{group}")


def _arrays(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a model by path."""
    for layer, path in _placed(model, ""):
        store: dict[str, Any] = {}
        if not hasattr(layer, "layers"):
            layer.save_own_variables(store)
        for key, value in store.items():
            yield f"{path}/vars/{key}" if path else f"vars/{key}", as_array(value)


def _vocabularies(model: Any) -> Iterator[tuple[str, list[str]]]:
    """What layers that look values up have learnt, by path."""
    for layer, path in _placed(model, ""):
        if hasattr(layer, "get_vocabulary"):
            yield path, [str(token) for token in layer.get_vocabulary()]


def layers_inside(layer: Any) -> Iterator[Any]:
    """A live layer or model and all inside it."""
    yield layer
    members = [getattr(layer, role, None) for role in _INSIDE]
    for role in _LISTS:
        held = getattr(layer, role, None)
        members += held if isinstance(held, (list, tuple)) else []
    for inner in members:
        if hasattr(inner, "get_config"):
            yield from layers_inside(inner)


def _refuse_own_classes(model: Any) -> None:
    """A class of someone's own has its own `call`, whatever the configuration calls it."""
    for layer in layers_inside(model):
        cls = type(layer)
        if cls.__module__.split(".")[0] not in _KERAS:
            what = "the model" if layer is model else f"layer {layer.name!r}"
            raise UnsupportedError(
                f"{what} is of the custom class '{cls.__module__}.{cls.__name__}', which is refused: its own code says "
                "what it computes; supported: models of Keras' own layers (Sequential, keras.Model(inputs, outputs)), "
                "or what model.export('model.onnx', format='onnx') writes")


def as_array(value: Any) -> np.ndarray:
    """A Keras variable as an array; bfloat16, which NumPy lacks, as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
    if hasattr(value, "numpy") and not isinstance(value, np.ndarray):
        value = value.numpy()
    array = np.array(value)                          # a copy: the graph must not change with the live model
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
