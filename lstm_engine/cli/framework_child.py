"""The program that `frameworks` starts: loads one checkpoint in its framework, runs and times it, writes the answer.

It imports nothing of this package, so that what is timed here is the framework alone.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[list[str], list[np.ndarray]], list[Any]]       # names and arrays of the inputs -> outputs
LEAST_RUNS = 5


def main(request: dict[str, Any]) -> None:
    """Answer the request in `answer.json` and `outputs.npz`; an error is an answer too."""
    try:
        answer = _answer(request)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    with open(request["answer.json"], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    version, names, run = _OPEN[request["framework"]](request["source"], request["threads"])
    arrays: dict[str, Any] = {}
    all_names, medians = [], []
    with np.load(request["inputs.npz"], allow_pickle=False) as inputs:
        for number, input_names in enumerate(request["names"]):
            given = [inputs[f"{number}.{place}"] for place in range(len(input_names))]
            outputs = [np.asarray(output) for output in run(input_names, given)]
            arrays.update({f"{number}.{place}": output for place, output in enumerate(outputs)})
            all_names.append(names or [str(place) for place in range(len(outputs))])
            medians.append(_median_seconds(run, input_names, given, request["seconds"]) if request["seconds"] else None)
    np.savez(request["outputs.npz"], **arrays)
    return {"version": version, "names": all_names, "seconds": medians}


def _median_seconds(run: Run, names: list[str], given: list[np.ndarray], budget: float) -> float:
    run(names, given)
    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < budget:
        started = time.perf_counter()
        run(names, given)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _ordered(wanted: list[str], names: list[str], given: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays in the framework's order: by name where the names are the same, else as they come."""
    if len(wanted) != len(given):
        raise ValueError(f"the checkpoint has {len(wanted)} inputs ({', '.join(wanted)}), got {len(given)}")
    return [given[names.index(name)] for name in wanted] if set(wanted) == set(names) else given


def _keras(source: str, threads: int | None) -> tuple[str, list[str], Run]:
    import keras

    backend = keras.backend.backend()
    if backend == "torch" and threads:
        import torch

        torch.set_num_threads(threads)
    model = keras.models.load_model(source, compile=False)     # in Keras' safe mode
    wanted = [tensor.name for tensor in model.inputs]

    def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
        arrays = [array.astype(keras.backend.standardize_dtype(tensor.dtype), copy=False)
                  for tensor, array in zip(model.inputs, _ordered(wanted, names, given), strict=True)]
        outputs = model(arrays if len(arrays) > 1 else arrays[0], training=False)
        flat = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, (list, tuple)) \
            else [outputs]
        return [keras.ops.convert_to_numpy(output) for output in flat]

    return f"keras {keras.__version__} on {backend}", [], run


def _onnxruntime(source: str, threads: int | None) -> tuple[str, list[str], Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()
    names_out = [value.name for value in session.get_outputs()]
    dtypes = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64",
              "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(bool)": "bool", "tensor(float16)": "float16"}

    def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
        arrays = _ordered([value.name for value in wanted], names, given)
        return session.run(names_out, {value.name: array.astype(dtypes.get(value.type, array.dtype), copy=False)
                                       for value, array in zip(wanted, arrays, strict=True)})

    return f"onnxruntime {onnxruntime.__version__}", names_out, run


def _torch(source: str, threads: int | None) -> tuple[str, list[str], Run]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    module = torch.export.load(source).module()

    @torch.no_grad()
    def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
        tensors = [torch.from_numpy(array.astype(np.int64) if array.dtype.kind in "iu" else array) for array in given]
        outputs = torch.utils._pytree.tree_leaves(module(*tensors))
        return [output.numpy() for output in outputs if isinstance(output, torch.Tensor)]

    return f"torch {torch.__version__}", [], run


_OPEN: dict[str, Callable[[str, int | None], tuple[str, list[str], Run]]] = {
    "keras": _keras, "onnxruntime": _onnxruntime, "torch": _torch,
}
