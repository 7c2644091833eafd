"""The six ways from a torch module to a model, and what comes of each for the modules of `torch_families`.

An outcome is "open" where every number of rows and steps that the module takes runs, "example sizes" where some of them
are refused because torch has fixed them, "refused" where our converter says what it does not support, "torch refuses"
where torch's own exporter does. Wherever a model runs, its numbers are the module's.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_families import FAMILIES, SIZES, arguments, leaves, made, open_axes

import lstm_engine as le

for _part in ("text", "seq2seq", "series", "cells", "conv"):
    importlib.import_module(f"torch_families_{_part}")

WAYS = ("live", "pt2", "dynamo", "script", "traced", "scripted")     # ONNX by both exporters, then TorchScript
NAMES = tuple(FAMILIES)
# Of an output's greatest number: float32 sums of some 50 terms in another order, through up to a dozen layers or
# steps of gates, each of which passes on what the one before it was off by.
CLOSE = 3e-5


SUFFIXES = {"pt2": "pt2", "dynamo": "onnx", "script": "onnx", "traced": "pt", "scripted": "pt"}


class TorchRefusesError(Exception):
    """torch's exporter raised."""


def converted(way: str, name: str, folder: Path) -> tuple[le.Model, bytes | None]:
    """The model of a family by one of the ways, and the ONNX file where there is one."""
    module, given = made(name), arguments(name, *SIZES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if way == "live":
            return le.convert(module, example_inputs=given), None
        try:
            with quiet(), torch.no_grad():
                file = written(way, module, name, given)
        except Exception as error:          # torch raises what it likes
            raise TorchRefusesError(str(error)) from error
        path = folder / f"{name}.{SUFFIXES[way]}"
        path.write_bytes(file)
        if way in ("traced", "scripted"):
            return of_torchscript(path, name, given), file
        return le.convert(path), None if way == "pt2" else file


def of_torchscript(path: Path, name: str, given: tuple[Any, ...]) -> le.Model:
    """The model of an archive, its rows and steps open, or, where the code needs their numbers, as in the example."""
    load: Any = torch.jit.load
    schema = load(path).forward.schema
    if any(str(argument.type) == "Tensor" and not isinstance(value, torch.Tensor)
           for argument, value in zip(schema.arguments[1:], given)):
        raise TorchRefusesError("it takes a tensor where no type is written")
    names = [leaf for argument, value in zip(schema.arguments[1:], given) for leaf in leaf_names(argument.name, value)]
    flat = list(leaves(given))
    dtypes = {called: str(tensor.dtype).removeprefix("torch.") for called, tensor in zip(names, flat)}
    of_example = dict(zip(("batch", "time"), SIZES[0]))
    open_ = {called: [axes[at] if at in axes and of_example[axes[at]] == size else f"{called}_{at}" if at in axes
                      else size for at, size in enumerate(tensor.shape)]
             for called, tensor, axes in zip(names, flat, open_axes(name))}
    try:
        return le.convert(path, spec={"shapes": open_, "dtypes": dtypes})
    except le.UnsupportedError as error:
        if "give it as a number" not in str(error):
            raise
    return le.convert(path, spec={"shapes": {called: list(tensor.shape) for called, tensor in zip(names, flat)},
                                  "dtypes": dtypes})


def leaf_names(name: str, value: Any) -> list[str]:
    """What the tensors of an argument are called: of a tuple name_0, name_1."""
    if isinstance(value, torch.Tensor):
        return [name]
    return [leaf for at, item in enumerate(value) for leaf in leaf_names(f"{name}_{at}", item)]


def written(way: str, module: Any, name: str, given: tuple[Any, ...]) -> bytes:
    """The file that torch writes, rows and steps open where it can leave them so."""
    file = io.BytesIO()
    if way in ("traced", "scripted"):
        jit: Any = torch.jit
        jit.save(jit.trace(module, given, check_trace=False) if way == "traced" else jit.script(module), file)
        return file.getvalue()
    flat, axes = list(leaves(given)), open_axes(name)
    if way == "script":
        inputs = [f"in{i}" for i in range(len(flat))]
        torch.onnx.export(module, given, file, input_names=inputs, dynamic_axes=dict(zip(inputs, axes)), dynamo=False)
        return file.getvalue()
    shapes: Any = torch.export.ShapesCollection()
    for tensor, of in zip(flat, axes):
        shapes[tensor] = dict.fromkeys(of, torch.export.Dim.AUTO)
    if way == "pt2":
        torch.export.save(torch.export.export(module, given, dynamic_shapes=shapes), file)
        return file.getvalue()
    program = torch.onnx.export(module, given, dynamic_shapes=shapes.dynamic_shapes(module, given), dynamo=True,
                                verbose=False)
    serialized: bytes = program.model_proto.SerializeToString()
    return serialized


@contextlib.contextmanager
def quiet() -> Any:
    """Without what the exporters print."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def numbers(name: str, given: tuple[Any, ...]) -> list[np.ndarray]:
    """The outputs of the module itself."""
    with torch.no_grad():
        return [leaf.numpy() for leaf in leaves(made(name)(*given))]


def outputs(model: le.Model, given: tuple[Any, ...]) -> list[np.ndarray]:
    values = model.predict(dict(zip(model.inputs, (leaf.numpy() for leaf in leaves(given)), strict=True)))
    return list(values.values()) if isinstance(values, dict) else [values]


def same(ours: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    """Whether outputs have the same shapes and, within what float32 may differ by, the same numbers."""
    if [x.shape for x in ours] != [x.shape for x in wanted]:
        return False
    return all(np.array_equal(a, b) if b.dtype.kind != "f" else
               np.abs(a - b).max(initial=0) <= CLOSE * max(1.0, np.abs(b).max(initial=0)) for a, b in zip(ours, wanted))


def of_onnxruntime(file: bytes, given: tuple[Any, ...]) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    fed = dict(zip((value.name for value in session.get_inputs()), (leaf.numpy() for leaf in leaves(given))))
    made_by: list[np.ndarray] = session.run(None, fed)
    return made_by


def of_its_own_framework(way: str, file: bytes, given: tuple[Any, ...]) -> list[np.ndarray]:
    """What a file gives where it is at home: one that is traced may say otherwise than its module."""
    if way not in ("traced", "scripted"):
        return of_onnxruntime(file, given)
    load: Any = torch.jit.load
    with torch.no_grad():
        return [leaf.numpy() for leaf in leaves(load(io.BytesIO(file))(*given))]


def sizes_that_only_we_refuse(way: str, name: str, folder: Path) -> list[tuple[int, int]]:
    """Sizes that an ONNX file's model refuses, and ONNX Runtime does not."""
    model, file = converted(way, name, folder)
    found = []
    for sizes in SIZES:
        given = arguments(name, *sizes)
        with contextlib.suppress(Exception):                    # ONNX Runtime raises classes of its own
            try:
                outputs(model, given)
            except le.LstmEngineError:
                of_onnxruntime(file or b"", given)
                found.append(sizes)
    return found


def outcome(way: str, name: str, folder: Path) -> str:
    """What comes of a family by a way; every number made is looked at. Raises AssertionError for a wrong one."""
    try:
        model, file = converted(way, name, folder)
    except TorchRefusesError:
        return "torch refuses"
    except le.UnsupportedError as error:
        return "torch refuses" if "torch.export cannot export" in str(error) else "refused"
    except le.FormatError:          # a file that contradicts itself: ONNX Runtime does not open it either
        assert way in ("dynamo", "script")
        with pytest.raises(Exception, match=r".+"):
            of_onnxruntime((folder / f"{name}.onnx").read_bytes(), arguments(name, *SIZES[0]))
        return "refused"
    ran = 0
    for sizes in SIZES:
        given = arguments(name, *sizes)
        try:
            ours = outputs(model, given)
        except le.LstmEngineError:
            continue
        if same(ours, numbers(name, given)):
            ran += 1
        else:       # a file that says otherwise than its module: an exporter has written the example's sizes into it
            assert file is not None and same(ours, of_its_own_framework(way, file, given)), (way, name, sizes)
    if not ran and way == "script":     # one name for the sizes of two inputs, which differ at every call
        return "refused"
    assert ran, f"{name} does not run by {way}"
    return "open" if ran == len(SIZES) else "example sizes"
