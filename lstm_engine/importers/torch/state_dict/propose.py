"""From the layers of weights alone to a spec: the one chain that their sizes and the caller's words allow.

What could be read in two ways is a question: an error with the readings and the line to type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from ....errors import ArgumentError, UnsupportedError
from ...arrays.torch_layers import names_of_layer
from ...reading.altering import altering
from ...reading.weights import Weights
from ..ways import EXPORT, HOW
from .assumptions import assumptions
from .copies import copy_of, wrapped_twice
from .layers import Layers, Stack, find_layers
from .readings import MAX_UNORDERED, RNN_ACTIVATIONS, SHOWN, Chain, Settled, Step, readings, typed
from .reparametrised import reparametrised
from .trainings import of_training, patterns

LAST_STATE = ["", "state"]     # outputs of a recurrent node that is read at its last state
_TWO_PARTS = re.compile(r"(?:^|[._])(enc|dec)", re.IGNORECASE)


def propose(weights: Weights, pool: str | None = None, nonlinearities: Mapping[str, str] | None = None,
            activations: Mapping[str, Any] | None = None, order: Any = None) -> dict[str, Any]:
    """The spec of the only chain that the tensors and what is said of them allow; its "notes" are what it assumes.

    pool, activations, order: as in ImportOptions. nonlinearities: of nn.RNN modules by path, where known.
    Raises UnsupportedError if there is more than one reading or a tensor fits nowhere, FormatError if a recurrent
    module is inconsistent, ArgumentError for an option that does not fit the layers.
    """
    settled = Settled.of(pool, activations, order)
    made, said = reparametrised(weights)
    weights = weights.replaced(made)
    if (copy := copy_of(weights)) is not None:
        raise UnsupportedError("every weight is there twice, as training left it and averaged, under "
                               f"{copy.prefix!r:.100}: which are meant is not certain. To convert it, {HOW}: with "
                               f"\"ignore\": [{copy.pattern!r:.100}] it takes the first, with nodes whose \"torch\" "
                               f"begins with {copy.prefix!r:.100} the average")
    if (changed := altering(name for name in weights.names if 0 not in weights.shape(name))) is not None:
        raise UnsupportedError(changed)
    if (twice := wrapped_twice(weights)) is not None:
        name, prefix = twice
        raise UnsupportedError(f"{name!r:.100} is there twice, as it is and under the prefix of a wrapper, "
                               f"{prefix + name!r:.100}: which is meant is not certain. To convert it, {HOW}: with "
                               f"\"ignore\": [{prefix + '*'!r}] it takes the first")
    layers = find_layers(weights)
    if not layers.stacks:
        raise UnsupportedError(f"no recurrent layer was found among {weights.describe(weights.names)}; expected names "
                               f"such as 'lstm.weight_ih_l0' or 'cell.weight_ih'. {EXPORT}")
    aside = of_training(weights, layers.rest)
    left = set(layers.rest).difference(aside)
    layers.rest = [name for name in layers.rest if name in left]
    if layers.rest:
        raise UnsupportedError(f"{len(layers.rest)} tensor(s) belong to no recurrent, embedding or linear layer: "
                               f"{weights.describe(layers.rest)}. {EXPORT}")
    settled.check_names(layers)
    chain = _chain(layers, settled)
    known = {step.label: nonlinearities[step.part.path] for step in chain
             if nonlinearities and step.op == "RNN" and step.part.path in nonlinearities}
    settled = Settled(settled.pool, {**known, **(settled.activations or {})}, settled.order)
    _check_rnn(chain, settled)
    _ask(layers, chain, settled)
    if aside:
        said.append("weights of a loss and counts of metrics take no part: "
                    f"{', '.join(f'{name!r:.100}' for name in aside[:8])}"
                    f"{f' and {len(aside) - 8} more' if len(aside) > 8 else ''}")
    return write_spec(weights, chain, settled) | ({"ignore": patterns(aside)} if aside else {}) | {
        "notes": [*said, *assumptions(chain, settled)]}


def _uncertain(layers: Layers, reason: str, line: str = "") -> NoReturn:
    raise UnsupportedError(f"how the layers are connected is not certain: {reason}. Found: {layers}. "
                           f"To convert it, {f'{line}; or ' if line else ''}{HOW}")


def _chain(layers: Layers, settled: Settled) -> Chain:
    """The one reading. Raises UnsupportedError if there is none, or more than one."""
    if settled.order is None:
        if len(layers.stacks) > 1 and any(_TWO_PARTS.search(stack.path) for stack in layers.stacks):
            _uncertain(layers, "an encoder and a decoder are no chain")
        if len(layers.parts) > MAX_UNORDERED:
            _uncertain(layers, f"there are more than {MAX_UNORDERED} layers",
                       "name them from the input to the output (--order a,b,c; in Python order=[...])")
    found = readings(layers, settled.order)
    if not found:
        _uncertain(layers, "in no order of the layers does each read as many features as the one before it gives"
                   if settled.order is None else
                   f"in the order {', '.join(f'{label!r:.100}' for label in settled.order)} a layer reads another "
                   "number of features than the one before it gives")
    if len(found) > 1:
        _ask_order(layers, found)
    return found[0]


def _ask_order(layers: Layers, found: list[Chain]) -> NoReturn:
    """Several readings: list them, with what to type for each."""
    orders = list(dict.fromkeys(tuple(step.label for step in chain) for chain in found))
    if len(orders) == 1:
        doubtful = next(step for step, other in zip(found[0], found[1]) if step.op != other.op)
        _uncertain(layers, f"{doubtful.part} can be an embedding or a linear layer")
    shown = "; ".join(" -> ".join(f"{label!r:.100}" for label in labels) for labels in orders[:SHOWN])
    count = f"{len(orders)} orders of the layers are" if len(found) <= SHOWN else f"more than {SHOWN} readings are"
    lines = " or ".join(f"--order {line}" for line in map(typed, orders[:SHOWN]) if line is not None)
    _uncertain(layers, f"{count} possible: {shown}", lines and f"say which: {lines} (in Python order=[...])")


def _check_rnn(chain: Chain, settled: Settled) -> None:
    for step in chain:
        activation = settled.activation(step)
        if step.op == "RNN" and activation not in (None, *RNN_ACTIVATIONS):
            raise ArgumentError(f"activations: the RNN {step.label!r:.100} has tanh or relu inside, not "
                                f"{activation!r:.50}; an activation of its outputs goes into a spec")


def _ask(layers: Layers, chain: Chain, settled: Settled) -> None:
    """Ask at once for all that the chain needs to be known and a state dict does not hold."""
    questions: list[str] = []
    flags: list[tuple[str, str]] = []
    for place, step in enumerate(chain):
        if settled.activation(step) is not None:
            continue
        if step.op == "RNN":
            questions.append(f"the RNN {step.label!r:.100} can have tanh, PyTorch's default, or relu inside, which "
                             "weights do not show")
            flags += [(step.label, "tanh"), (step.label, "relu")]
        elif step.op == "Dense" and place < len(chain) - 1:
            questions.append(f"an activation can stand between the linear layer {step.label!r:.100} and "
                             f"{chain[place + 1].label!r:.100}, which weights do not show")
            flags += [(step.label, "relu"), (step.label, "none")]
    lines = [" or ".join(f"--activation {label}={name}" for label, name in pair)
             for pair in zip(flags[::2], flags[1::2]) if typed([pair[0][0]]) is not None]
    last = _last_stack(chain)
    if settled.pool == "last" and last.bidirectional:
        questions.append(f"pool \"last\" after the bidirectional {last.path!r:.100} can mean output[:, -1], where the "
                         "reverse direction has seen one step, or the last states of both directions, h_n")
        lines.append("--pool step for output[:, -1] or --pool state for h_n")
    if questions:
        said = f"say which: {'; '.join(lines)} (in Python activations={{...}}, pool=...)"
        _uncertain(layers, "; ".join(questions), said if lines else "")


def _last_stack(chain: Chain) -> Stack:
    return next(step.part for step in reversed(chain) if isinstance(step.part, Stack))


def write_spec(weights: Weights, chain: Chain, settled: Settled) -> dict[str, Any]:
    """The spec of a chain: layers by their paths in PyTorch's naming."""
    first = chain[0]
    last = _last_stack(chain) if any(isinstance(step.part, Stack) for step in chain) else None
    inputs: dict[str, Any]
    if first.op == "Embedding":
        inputs = {"name": "ids", "shape": ["batch", "time"], "dtype": "int32"}
    else:
        dtype = weights.dtype(_weight(weights, first))
        inputs = {"name": "input", "shape": ["batch", "time", first.features], "dtype": dtype}
    nodes: list[dict[str, Any]] = []
    for step in chain:
        nodes += _nodes(step, settled.activation(step))
        if last is None or step.part is not last:
            continue
        if settled.pool == "state":
            next(node for node in reversed(nodes) if node["op"] == last.op)["outputs"] = LAST_STATE
        elif settled.pool not in (None, "none"):
            kind = "last" if settled.pool == "step" else settled.pool
            nodes.append({"op": "Pool", "name": f"pool_{settled.pool}", "kind": kind})
    return connected([inputs], nodes)


def _weight(weights: Weights, step: Step) -> str:
    """The name of the weight that a layer's input is multiplied with."""
    if isinstance(step.part, Stack):
        return names_of_layer(weights, step.part.path, 0)["weight_ih"]
    return f"{step.part.path}.weight" if step.part.path else "weight"


def _nodes(step: Step, activation: Any) -> list[dict[str, Any]]:
    """The nodes of one layer, and of an activation behind it."""
    if step.op == "Dense":
        return [{"op": "Dense", "name": step.label, "torch": step.part.path,
                 "activation": "linear" if activation is None else activation}]
    if isinstance(step.part, Stack):
        if step.op == "RNN":
            return stack_nodes(step.part, activation)
        nodes = stack_nodes(step.part, "tanh")
    else:
        nodes = [{"op": "Embedding", "name": step.label, "torch": step.part.path}]
    if activation not in (None, "linear"):
        nodes.append({"op": "Activate", "name": f"{step.label}_activation", "activation": activation})
    return nodes


def stack_nodes(stack: Stack, nonlinearity: str) -> list[dict[str, Any]]:
    """One node per layer of a recurrent module; `nonlinearity` is that of nn.RNN."""
    nodes = []
    for layer in range(len(stack.layers)):
        name = stack.path or stack.op.lower()
        node: dict[str, Any] = {"op": stack.op, "name": f"{name}_l{layer}" if len(stack.layers) > 1 else name,
                                "torch": stack.path, "layer": layer,
                                "direction": "bidirectional" if stack.bidirectional else "forward"}
        if stack.op == "RNN":
            node["activations"] = [[nonlinearity]] * (2 if stack.bidirectional else 1)
        nodes.append(node)
    return nodes


def connected(inputs: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """A spec in which each node reads the one before; values and nodes get names that are not taken.

    A recurrent node that comes with LAST_STATE as its outputs is read at its last state.
    """
    taken = {value["name"] for value in inputs} | {"output"}
    names: set[str] = set()
    last = inputs[0]["name"]
    for index, node in enumerate(nodes):
        node["name"] = _free(node["name"], names)
        output = "output" if index == len(nodes) - 1 else _free(node["name"], taken)
        node.update(inputs=[last], outputs=["", output] if node.get("outputs") is LAST_STATE else [output])
        last = output
    return {"inputs": inputs, "nodes": nodes, "outputs": [last]}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
