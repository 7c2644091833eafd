"""Rounding error beside ONNX Runtime's and PyTorch's, on the same weights and inputs.

    python tools/accuracy.py [--count N] [--seed S] [--isa NAME] [--json]

For each of N configurations (LSTM, GRU, RNN; up to 1024 units and 2000 steps; weights uniform in 1/sqrt(H), as PyTorch
initialises them, inputs normal) the root mean square error of all outputs against the exact result, as a ratio to the
better of ONNX Runtime and PyTorch. The exact result is PyTorch's in float64, whose own error is some 1e-16; that it is
also the project's oracle's is checked on the small configurations. Prints the geometric mean and the worst ratio, for
each cell and hidden size too. Exit code 1 if the mean is above 1.0 or any ratio above 1.5.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"          # before torch: one thread each, so that no engine splits its sums
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from onnx import helper  # noqa: E402

import lstm_engine as le  # noqa: E402
from lstm_engine import reference  # noqa: E402

# torch's gate order as blocks of the weights, in ONNX's order: LSTM i,f,g,o -> i,o,f,c; GRU r,z,n -> z,r,h.
GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
LAYERS = {"LSTM": le.LSTM, "GRU": le.GRU, "RNN": le.RNN}
ORACLE = {"LSTM": reference.lstm, "GRU": reference.gru, "RNN": reference.rnn}
MOST_FLOPS = 3e9                             # of a random configuration; the corners below go beyond
LEAST_OUTPUTS = 1000                         # the error of fewer is a matter of luck
CORNERS = [(cell, batch, time, features, hidden) for cell in GATE_ORDER
           for batch, time, features, hidden in ((1, 2000, 64, 512), (1, 300, 256, 1024), (2, 100, 1024, 1024),
                                                 (1, 2000, 8, 32), (16, 50, 128, 256))]


@dataclass(frozen=True)
class Configuration:
    cell: str
    batch: int
    time: int
    features: int
    hidden: int
    seed: int


@dataclass(frozen=True)
class Errors:
    """Root mean square and largest error of one engine."""

    rms: float
    largest: float

    @classmethod
    def of(cls, result: np.ndarray, exact: np.ndarray) -> Errors:
        difference = result.astype(np.float64) - exact
        return cls(float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max()))


def configurations(count: int, seed: int) -> list[Configuration]:
    """The corners, then sizes spread evenly over their logarithms."""
    rng = np.random.default_rng(seed)
    chosen = [Configuration(*corner, seed=seed + i) for i, corner in enumerate(CORNERS[:count])]
    while len(chosen) < count:
        cell = str(rng.choice(["LSTM", "LSTM", "GRU", "RNN"]))
        batch, time, features, hidden = (round(math.exp(rng.uniform(math.log(low), math.log(high))))
                                         for low, high in ((1, 16), (2, 2000), (4, 512), (8, 1024)))
        flops = 2 * len(GATE_ORDER[cell]) * hidden * (features + hidden) * batch * time
        if flops <= MOST_FLOPS and batch * time * hidden >= LEAST_OUTPUTS:
            chosen.append(Configuration(cell, batch, time, features, hidden, seed + len(chosen)))
    return chosen


def onnx_weights(module: torch.nn.RNNBase, cell: str) -> dict[str, np.ndarray]:
    def blocks(tensor: torch.Tensor) -> np.ndarray:
        parts = np.split(tensor.detach().numpy(), len(GATE_ORDER[cell]))
        return np.concatenate([parts[i] for i in GATE_ORDER[cell]])

    return {"W": blocks(module.weight_ih_l0)[None], "R": blocks(module.weight_hh_l0)[None],
            "B": np.concatenate([blocks(module.bias_ih_l0), blocks(module.bias_hh_l0)])[None]}


def run_onnxruntime(cell: str, x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    options = {"linear_before_reset": 1} if cell == "GRU" else {}
    node = helper.make_node(cell, ["X", *weights], ["Y"], hidden_size=weights["R"].shape[2], **options)
    graph = helper.make_graph([node], "cell", [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, None)],
                              [helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)],
                              [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = 1
    engine = onnxruntime.InferenceSession(model.SerializeToString(), session, providers=["CPUExecutionProvider"])
    return engine.run(None, {"X": np.ascontiguousarray(x.swapaxes(0, 1))})[0][:, 0].swapaxes(0, 1)


def measure(configuration: Configuration) -> dict[str, Errors]:
    """The errors of each engine."""
    c = configuration
    torch.manual_seed(c.seed)
    module = getattr(torch.nn, c.cell)(c.features, c.hidden, batch_first=True).eval()
    x = np.random.default_rng(c.seed).standard_normal((c.batch, c.time, c.features)).astype(np.float32)
    weights = onnx_weights(module, c.cell)
    options = {"linear_before_reset": True} if c.cell == "GRU" else {}
    results = {"lstm-engine": le.Model([LAYERS[c.cell](*weights.values(), **options)]).predict(x, threads=1),
               "onnxruntime": run_onnxruntime(c.cell, x, weights)}
    with torch.no_grad():
        results["torch"] = module(torch.from_numpy(x))[0].numpy()
        exact = module.double()(torch.from_numpy(x).double())[0].numpy()
    if exact.size <= 20000:
        oracle = ORACLE[c.cell](x, *weights.values(), **options)[0][:, :, 0]
        assert np.abs(oracle - exact).max() < 1e-12, "PyTorch in float64 is not the oracle"
    return {name: Errors.of(result, exact) for name, result in results.items()}


def ratio(errors: dict[str, Errors], which: str) -> float:
    """Our error over that of the better of the other two."""
    ours = getattr(errors["lstm-engine"], which)
    return ours / max(1e-30, min(getattr(errors[name], which) for name in ("onnxruntime", "torch")))


def mean(ratios: list[float]) -> float:
    return math.exp(sum(math.log(max(r, 1e-30)) for r in ratios) / len(ratios))


def show(measured: list[tuple[Configuration, dict[str, Errors]]]) -> None:
    def line(title: str, chosen: list[dict[str, Errors]]) -> None:
        rms = [ratio(errors, "rms") for errors in chosen]
        largest = [ratio(errors, "largest") for errors in chosen]
        rest = "  ".join(f"{mean([e[name].rms for e in chosen]):.2e}" for name in chosen[0])
        print(f"{title:<24}{len(chosen):>6}{mean(rms):>8.3f}{max(rms):>8.3f}{mean(largest):>10.3f}   {rest}")

    print(f"{'':<24}{'count':>6}{'mean':>8}{'worst':>8}{'of max':>10}   geometric mean of the rms errors: "
          + ", ".join(measured[0][1]))
    line("all", [errors for _, errors in measured])
    for cell in GATE_ORDER:
        for low, high in ((8, 64), (65, 256), (257, 1024)):
            chosen = [errors for c, errors in measured if c.cell == cell and low <= c.hidden <= high]
            if chosen:
                line(f"{cell}, {low} to {high} units", chosen)
    print("\nworst:")
    for c, errors in sorted(measured, key=lambda item: -ratio(item[1], "rms"))[:8]:
        print(f"  {ratio(errors, 'rms'):.3f}  {c}  " + "  ".join(f"{name} {e.rms:.2e}" for name, e in errors.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="configurations (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of sizes, weights and inputs (default: 1)")
    parser.add_argument("--isa", choices=le.info()["isas"], help="instruction set (default: the best)")
    parser.add_argument("--json", action="store_true", help="every configuration's errors as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    le.set_isa(arguments.isa)
    measured = []
    for number, configuration in enumerate(configurations(arguments.count, arguments.seed)):
        measured.append((configuration, measure(configuration)))
        if sys.stderr.isatty():
            print(f"\r{number + 1}/{arguments.count}", end="", file=sys.stderr, flush=True)
    ratios = [ratio(errors, "rms") for _, errors in measured]
    if arguments.json:
        print(json.dumps([{**asdict(c), "ratio": r, "errors": {name: asdict(e) for name, e in errors.items()}}
                          for (c, errors), r in zip(measured, ratios, strict=True)], indent=1))
    else:
        show(measured)
        print(f"\n{len(ratios)} configurations on {le.info()['isa']}: geometric mean {mean(ratios):.3f}, "
              f"worst {max(ratios):.3f}")
    return int(mean(ratios) > 1.0 or max(ratios) > 1.5)


if __name__ == "__main__":
    sys.exit(main())
