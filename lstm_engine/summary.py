"""The table that `Model.summary` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .graph import Activate, Dense, Embedding, Loop, Node, Operator, Pool, Recurrent
from .graph.nodes import every_node
from .texts import one_line

if TYPE_CHECKING:
    from .model import Model


def describe(node: Node) -> str:
    """What a node is, in a few words."""
    if isinstance(node, Recurrent):
        extras = [node.direction] if node.direction != "forward" else []
        functions = node.activations[0]
        if any(per_direction != node.default_activations for per_direction in node.activations):
            extras.append("/".join(map(str, functions)))
        for field in ("P", "projection", "clip", "cell_clip"):
            if getattr(node, field, None) is not None:
                extras.append({"P": "peepholes"}.get(field, field))
        for field in ("input_forget", "linear_before_reset"):
            if getattr(node, field, False):
                extras.append(field)
        return f"{node.op}({', '.join([str(node.hidden), *extras])})"
    if isinstance(node, Dense):
        return f"Dense({node.kernel.shape[1]}, {node.activation})"
    if isinstance(node, Embedding):
        return f"Embedding({node.table.shape[0]}, {node.table.shape[1]})"
    if isinstance(node, Activate):
        return f"Activate({node.activation})"
    if isinstance(node, Pool):
        return f"Pool({node.kind})"
    if isinstance(node, Loop):
        return f"Loop({', '.join(dict.fromkeys(map(describe, node.body.nodes)))})"
    return node.op_type if isinstance(node, Operator) else node.op


def parameters_of(node: Node) -> int:
    """How many numbers a node has as weights, those of a loop's body among them."""
    within = every_node(node.body) if isinstance(node, Loop) else ()
    return sum(array.size for own in (node, *within) for array in own.tensors().values())


def summary(model: Model) -> str:
    """Layers, output shapes, parameters; then where it runs and what it promises."""
    from .plan import HostStep, LoopStep

    values = model._plan.values
    report = model.quantization
    types = {} if report is None else {layer.name: layer.type for layer in report.layers}
    rows = [("name", "layer", *(("weights",) if types else ()), "output", "parameters")]
    total = 0
    for node in model._plan.skeleton.nodes:
        parameters = parameters_of(node)
        total += parameters
        made = next((name for name in node.outputs if name), "")
        shape = f"[{', '.join(map(str, values[made].shape))}]" if made else ""
        # Names come from files, and go to terminals.
        rows.append((one_line(node.name), one_line(describe(node)), *((types.get(node.name, ""),) if types else ()),
                     one_line(shape), f"{parameters:,}"))
    last = len(rows[0]) - 1
    widths = [max(len(row[column]) for row in rows) for column in range(last + 1)]
    lines = ["  ".join(cell.rjust(width) if column == last else cell.ljust(width)
                       for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    hosts = [step for step in model._plan.steps if isinstance(step, (HostStep, LoopStep))]
    # Layers of the house on other shapes move numbers, compare ids or go through the core row by row.
    computing = any(isinstance(step.node, (Operator, Loop)) for step in hosts)
    lines += [one_line(f"input {value.name!r} takes texts, too: {value.reading}") for value in model.inputs.values()
              if value.reading is not None]
    held = "" if report is None else f" in {report.bytes:,} bytes ({report.bytes_before:,} in float32)"
    lines.append(f"{total:,} parameters{held}; {model.dtype}, {model.isa} kernels, gemm {model.gemm}")
    if hosts:
        run = "operator runs" if len(hosts) == 1 else "operators run"
        lines.append(f"{len(hosts)} {run} in NumPy: {', '.join(sorted({describe(s.node) for s in hosts}))}")
    if model.gemm == "blas" or model.dtype == "float64" or computing:
        causes = {"gemm is blas": model.gemm == "blas", "float64": model.dtype == "float64",
                  "host operators": computing}
        reasons = [cause for cause, holds in causes.items() if holds]
        lines.append(f"Equal sequences may differ in their last bits between batches ({', '.join(reasons)}).")
    else:
        lines.append("Equal sequences give equal bits whatever the batch, padding, chunking and threads.")
    return "\n".join(lines)
