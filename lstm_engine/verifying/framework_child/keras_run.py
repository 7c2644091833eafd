"""A checkpoint of Keras in Keras 3, and a live keras.Model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .measure import Opened, Run, WeightsOnly, is_weight, nudged, ordered


def open_keras(source: str, threads: int | None) -> Opened:
    import keras

    if keras.backend.backend() == "torch" and threads:
        import torch

        torch.set_num_threads(threads)
    version = _keras_version(source)
    remarks = []
    custom: dict[str, Any] = {}
    if version is not None and int(version.partition(".")[0]) < 3 and keras.__version__ >= "3":
        custom = _old_meanings(keras)
        remarks.append(f"the file is of Keras {version}: its hard_sigmoid (0.2 x + 0.5) stands in for the other of "
                       f"Keras {keras.__version__}")
    with tempfile.TemporaryDirectory(prefix="lstm-engine-") as folder:
        # Keras goes by the name, which need not say what the file is: early versions wrote HDF5 as .keras.
        ending = ".keras" if zipfile.is_zipfile(source) else ".h5"
        if not source.endswith(ending):
            source = shutil.copy(source, os.path.join(folder, f"model{ending}"))
        return keras_model(keras.models.load_model(source, custom_objects=custom, compile=False), remarks)


def _keras_version(source: str) -> str | None:
    """The version of Keras that wrote a file. Raises WeightsOnly for HDF5 without a configuration."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            found = json.loads(archive.read("metadata.json")).get("keras_version")
            return found if isinstance(found, str) else None
    import h5py

    with h5py.File(source, "r") as file:
        if "model_config" not in file.attrs:
            raise WeightsOnly("the HDF5 file holds no model_config")
        found = file.attrs.get("keras_version") or "2"
        return found.decode() if isinstance(found, bytes) else str(found)


def _old_meanings(keras: Any) -> dict[str, Any]:
    """Has Keras 3 read what TF-Keras wrote as TF-Keras meant it; returns the layers by the names without a module that
    wrapped layers had there.

    hard_sigmoid is 0.2 x + 0.5 there, and x / 6 + 0.5 under the same name in Keras 3. A recurrent layer has an option
    `time_major` there, whose default is all that Keras 3 does.
    """
    from keras.src import activations

    activations.ALL_OBJECTS_DICT["hard_sigmoid"] = _old_hard_sigmoid

    def without_time_major(kind: Any) -> Any:
        read = kind.from_config.__func__

        def from_config(cls: Any, config: dict[str, Any], *rest: Any, **options: Any) -> Any:
            if config.get("time_major") is False:
                config = {name: value for name, value in config.items() if name != "time_major"}
            return read(cls, config, *rest, **options)
        return classmethod(from_config)

    for name in ("LSTM", "GRU", "SimpleRNN", "RNN"):
        kind = getattr(keras.layers, name)
        kind.from_config = without_time_major(kind)
    return {name: kind for name, kind in vars(keras.layers).items()
            if isinstance(kind, type) and issubclass(kind, keras.Layer)}


def _old_hard_sigmoid(x: Any) -> Any:
    import keras

    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def keras_model(model: Any, remarks: Sequence[str] = ()) -> Opened:
    """A live keras.Model. Its weights are moved and put back; its recurrent states are reset before each run."""
    import keras

    weights = [np.array(weight) for weight in model.get_weights()]

    def wide() -> Run:
        text = json.dumps(keras.saving.serialize_keras_object(model)).replace('"float32"', '"float64"')
        with _floatx("float64"):
            wider = keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)
            wider.set_weights(weights)
        run = _keras_run(wider)

        def in_float64(names: list[str], given: list[np.ndarray]) -> list[Any]:
            with _floatx("float64"):
                return run(names, given)
        return in_float64

    def moved(rng: np.random.Generator) -> Run:
        other = [nudged(weight, rng) if is_weight(weight) else weight for weight in weights]
        run = _keras_run(model)

        def with_moved_weights(names: list[str], given: list[np.ndarray]) -> list[Any]:
            model.set_weights(other)
            try:
                return run(names, given)
            finally:
                model.set_weights(weights)
        return with_moved_weights

    wanted = [{"name": tensor.name, "shape": list(tensor.shape), "dtype": keras.backend.standardize_dtype(tensor.dtype)}
              for tensor in model.inputs]
    return Opened(f"keras {keras.__version__} on {keras.backend.backend()}", [], _keras_run(model), wanted, moved, wide,
                  list(remarks))


@contextlib.contextmanager
def _floatx(dtype: str) -> Iterator[None]:
    import keras

    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def _keras_run(model: Any) -> Run:
    import keras

    wanted = [tensor.name for tensor in model.inputs]

    def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
        for layer in model._flatten_layers():
            if getattr(layer, "stateful", False) and getattr(layer, "states", None) is not None:
                layer.reset_states()
        dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in model.inputs]
        arrays = [array if dtype == "string" else array.astype(dtype, copy=False)
                  for dtype, array in zip(dtypes, ordered(wanted, names, given), strict=True)]
        outputs = model(arrays if len(arrays) > 1 else arrays[0], training=False)
        flat = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, (list, tuple)) \
            else [outputs]
        return [keras.ops.convert_to_numpy(output) for output in flat]

    return run
