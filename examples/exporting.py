"""What the examples share that export to ONNX: the export itself, and its check with ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn


def export(model: nn.Module, path: Path, input_name: str, output_name: str, dynamo: bool = False) -> None:
    """Write a model of ids [batch, time] with both axes left open.

    The TorchScript exporter by default: the newer one stores a stack trace with local paths on every node and writes
    the example's length into the output's declared shape, though both compute the same.
    """
    ids = torch.ones(2, 7, dtype=torch.long)
    names = {"input_names": [input_name], "output_names": [output_name]}
    if dynamo:
        batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
        torch.onnx.export(model, (ids,), str(path), dynamo=True, external_data=False,
                          dynamic_shapes=({0: batch, 1: time},), **names)
    else:
        axes = {0: "batch", 1: "time"}
        with warnings.catch_warnings():
            # That this exporter is the older one is known; that the batch may vary is checked below.
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (ids,), str(path), dynamo=False, opset_version=17,
                              dynamic_axes={input_name: axes, output_name: axes}, **names)
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    nodes = " ".join(node.op_type for node in graph.graph.node)
    print(f"{path}: {path.stat().st_size:,} bytes; nodes: {nodes}")


@torch.no_grad()
def check_with_onnxruntime(model: nn.Module, path: Path, ids: list[np.ndarray]) -> None:
    """Every sequence alone, then a batch of their openings: the file may fix neither batch nor time."""
    try:
        import onnxruntime
    except ImportError:
        print("onnxruntime is not installed: the export is not compared with it")
        return
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    shortest = min(map(len, ids))
    batches_of_ids = [row[None] for row in ids] + [np.stack([row[:shortest] for row in ids])]
    largest = max(np.abs(session.run(None, {name: x})[0] - model(torch.from_numpy(x)).numpy()).max()
                  for x in batches_of_ids)
    print(f"largest difference between PyTorch and ONNX Runtime: {largest:.1e}")
