"""A converted live Keras model beside the model itself, on inputs made up for it: what differs is an error.

What counts is the precision of the coarsest number on either side: Keras 3 computes some functions of float64 in
float32, its products among them, except on TensorFlow. How far they may be apart follows the model's conditioning: how
far our float32 is from our float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, LstmEngineError
from ..graph import Embedding, Operator, Value
from ..importers.keras.reading.calls import flatten
from ..importers.keras.reading.live import as_array, keras_of, layers_inside
from ..operators import infer_shapes

if TYPE_CHECKING:
    from ..model import Model
    from ..types import Dtype

# Of an output's largest number: sums of some hundred terms in another order, and functions of 2 to 4 units in the last
# place, over some steps.
FLOOR = {"float32": 2e-5, "float64": 2e-12}
CONDITION = 32                              # times our own distance to float64: Keras' rounding falls elsewhere
SIZES = ((3, 7), (2, 4), (1, 9), (4, 1))    # (rows, steps) to compare on; axes that the model fixes stay
SPREAD = (1, 2, 3)                          # what a further axis of free size is longer by, where it may be


def compare_with_model(model: Model, source: Any) -> None:
    """Compare a model with the live Keras model that it was made from. The model's states are as before.

    Raises LstmEngineError, naming the output and the difference; also where Keras could not run on any of the inputs.
    """
    rng = np.random.default_rng(0)
    seen, refusal = 0, ""
    for rows, steps in SIZES:
        for spread in (True, False):
            given = _inputs(model, source, rows, steps, spread, rng)
            shown = ", ".join(f"{name!r} {list(array.shape)}" for name, array in given.items())
            try:
                wanted, coarse = _run(source, list(given.values()))
            except Exception as error:      # whatever a backend raises where sizes do not fit each other
                refusal = str(error).split("\n")[0][:200]
                continue
            try:
                made = model.predict(given)
            except ArgumentError as error:
                raise LstmEngineError("the converted model does not run on inputs that the Keras model takes "
                                      f"({shown}): {error}") from error
            precision = "float32" if coarse or _has_float32(model) else "float64"
            _compare(model, precision, given, list(made.values()) if isinstance(made, dict) else [made], wanted, shown)
            seen += 1
            break                           # sizes that differ say more than equal ones
    if not seen:
        raise LstmEngineError(f"the Keras model could not be run to be compared with: {refusal}")


def _has_float32(model: Model) -> bool:
    return any(value.dtype == "float32" for value in infer_shapes(model.graph).values())


def _compare(model: Model, precision: str, given: dict[str, np.ndarray], made: list[np.ndarray],
             wanted: list[np.ndarray], shown: str) -> None:
    if len(made) != len(wanted):
        raise LstmEngineError(f"the Keras model gives {len(wanted)} outputs, the converted model {len(made)}")
    roundings: list[float] | None = None
    for at, (name, ours, theirs) in enumerate(zip(model.outputs, made, wanted)):
        if ours.shape != theirs.shape:
            raise LstmEngineError(f"output {name!r} for inputs {shown}: the Keras model gives {list(theirs.shape)}, "
                                  f"the converted model {list(ours.shape)}")
        worst, scale = _distance(ours, theirs)
        allowed = FLOOR[precision] * scale
        if worst > allowed and precision == "float32":
            roundings = roundings or _roundings(model, given, made)
            allowed += CONDITION * roundings[at]
        if worst > allowed:
            raise LstmEngineError(f"output {name!r} for inputs {shown}: the converted model differs from the Keras "
                                  f"model by {worst:.3g} (allowed {allowed:.2g}); it is not converted")


def _distance(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """The largest difference, infinite where only one is a number, and the largest number (at least 1)."""
    ours, theirs = (array.astype(np.float64) for array in (ours, theirs))
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs)
    same = (ours == theirs) | np.isnan(ours) & np.isnan(theirs)
    apart = np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))
    finite = np.abs(theirs[np.isfinite(theirs)])
    return float(apart.max(initial=0)), max(1.0, float(finite.max(initial=0)))


def _roundings(model: Model, given: dict[str, np.ndarray], made: list[np.ndarray]) -> list[float]:
    """How far each output is from that in float64: as `made`, or in float32 where all of the model is float64."""
    rounded = made if _has_float32(model) else _run_in(model, given, "float32")
    return [_distance(one, other)[0] for one, other in zip(rounded, _run_in(model, given, "float64"))]


def _run_in(model: Model, given: dict[str, np.ndarray], dtype: Dtype) -> list[np.ndarray]:
    from ..model import Model as Made

    made = Made(model.graph, dtype=dtype).predict(given)
    return list(made.values()) if isinstance(made, dict) else [made]


# ---- the Keras model ------------------------------------------------------------------------------------------


def _run(source: Any, arrays: list[np.ndarray]) -> tuple[list[np.ndarray], bool]:
    """The flat outputs for inference from a zero state, and whether Keras made numbers of float32 or less on the way.

    States are put back.
    """
    structure = getattr(source, "_inputs_struct", getattr(source, "_nested_inputs", None))
    given: Any = dict(zip(sorted(structure), arrays)) if isinstance(structure, dict) else (
        arrays[0] if len(arrays) == 1 else arrays)
    with _states_kept(source), _widened(source), _watched() as coarse:
        outputs = [as_array(output) for output in flatten(source(given, training=False))]
    backend = keras_of(source).backend
    if getattr(backend, "backend", lambda: "tensorflow")() == "torch":
        return outputs, bool(coarse)
    promoted = getattr(backend, "result_type", None)
    return outputs, promoted is not None and promoted("float64", "float64") != "float64"


@contextlib.contextmanager
def _states_kept(source: Any) -> Iterator[None]:
    """Stateful layers begin at zero and get their states back after."""
    states = [state for layer in layers_inside(source) if getattr(layer, "stateful", False)
              for state in flatten(getattr(layer, "states", None) or []) if hasattr(state, "assign")]
    before = [as_array(state) for state in states]
    try:
        for state, array in zip(states, before):
            state.assign(np.zeros_like(array))
        yield
    finally:
        for state, array in zip(states, before):
            state.assign(array)


@contextlib.contextmanager
def _widened(source: Any) -> Iterator[None]:
    """Layers that compute in float16 or bfloat16 do so in float32, as the converted model has it: what both mean is
    then compared beyond that rounding. Their policies are put back."""
    layers = getattr(source, "_flatten_layers", lambda: ())()
    before = [(layer, layer._dtype_policy) for layer in layers
              if getattr(getattr(layer, "_dtype_policy", None), "compute_dtype", None) in ("float16", "bfloat16")]
    try:
        for layer, policy in before:
            layer._dtype_policy = wide = type(policy)("float32")
            wide._variable_dtype = policy.variable_dtype        # then Keras casts its weights
        yield
    finally:
        for layer, policy in before:
            layer._dtype_policy = policy


@contextlib.contextmanager
def _watched() -> Iterator[set[str]]:
    """Without gradients; the dtypes short of float64 of what PyTorch computes meanwhile are added to the set."""
    import sys

    torch: Any = sys.modules.get("torch")
    seen: set[str] = set()
    if torch is None:
        yield seen
        return

    class Watch(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, (tuple, list)) else (made,):
                if isinstance(tensor, torch.Tensor) and tensor.ndim and tensor.is_floating_point() \
                        and tensor.dtype != torch.float64:                  # a number alone is a constant
                    seen.add(str(tensor.dtype))
            return made

    with torch.no_grad(), Watch():
        yield seen


# ---- inputs ---------------------------------------------------------------------------------------------------


def _inputs(model: Model, source: Any, rows: int, steps: int, spread: bool, rng: np.random.Generator
            ) -> dict[str, np.ndarray]:
    """An array for every input: ids in their range, some of them 0; numbers, some steps of them what Masking masks."""
    fixed = [getattr(value, "shape", (None,))[0] for value in getattr(source, "inputs", None) or []]
    batch = next((size for size in fixed if size is not None), rows)      # of stateful models
    sizes: dict[str, int] = {}
    for value in model.inputs.values():
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, str) and dim not in sizes:
                longer = SPREAD[len(sizes) % len(SPREAD)] * (len(sizes) > 1) if spread else 0
                sizes[dim] = batch if axis == 0 else steps + longer
    ranges = _vocabularies(model)
    masked = [float(layer.mask_value) for layer in layers_inside(source) if hasattr(layer, "mask_value")]
    return {name: _numbers(value, [sizes[dim] if isinstance(dim, str) else dim for dim in value.shape],
                           ranges.get(name, 2), masked, rng, "computed_wider" in model.graph.metadata)
            for name, value in model.inputs.items()}


def _numbers(value: Value, shape: list[int], range_: int, masked: list[float], rng: np.random.Generator,
             short: bool) -> np.ndarray:
    """Numbers for one input; short: such as bfloat16 and float16 hold, to which Keras may cast them."""
    if value.reading is not None:
        return value.reading.drawn(shape, rng)
    if value.dtype == "bool":
        return rng.random(shape) < 0.7
    if value.dtype.startswith("float"):
        made = rng.standard_normal(shape)
        if masked and len(shape) == 3:
            made[rng.random(shape[:2]) < 0.3] = masked[0]
        made = np.round(made * 64) / 64 if short else made
        return made.astype(value.dtype)
    ids = rng.integers(0, range_, shape)
    return np.where(rng.random(shape) < 0.25, 0, ids).astype(value.dtype)


def _vocabularies(model: Model) -> dict[str, int]:
    """The rows of the smallest table that reads an input, by the input's name."""
    found: dict[str, int] = {}
    for node in model.graph.nodes:
        if isinstance(node, Embedding):
            name, rows = node.inputs[0], len(node.table)
        elif isinstance(node, Operator) and node.op_type == "Gather" and 0 in node.constants:
            name, rows = node.inputs[1] if len(node.inputs) > 1 else "", len(node.constants[0])
        else:
            continue
        found[name] = min(rows, found.get(name, rows))
    return found
