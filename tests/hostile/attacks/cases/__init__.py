"""All attacks, a module for each format."""

from __future__ import annotations

from ..attack import Attack
from . import (
    api,
    hdf5,
    inputs,
    json_weights,
    keras,
    lstm,
    npys,
    onnx_external,
    onnx_models,
    outputs,
    paths,
    safetensors,
    specs,
    torch_pickles,
    torch_programs,
    zips,
)

TABLES = tuple(module.TABLE for module in (
    lstm, keras, hdf5, torch_pickles, torch_programs, zips, safetensors, json_weights, npys, onnx_models, onnx_external,
    specs, paths, inputs, outputs, api))
ATTACKS: dict[str, Attack] = {attack.key: attack for table in TABLES for attack in table.attacks}
assert len(ATTACKS) == sum(len(table.attacks) for table in TABLES), "two attacks of one format have the same name"
