"""A converted live module beside the module itself: other inputs, sizes and lengths; what differs is an error.

The tolerance follows the model's own conditioning: where a copy in float64 can be run, our distance to it is held
against the distance that the module in its own precision has.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, LstmEngineError
from ..graph import Embedding, Operator, Value
from ..importers.torch.modules.live import examples_of
from ..importers.torch.program import fixed_sizes
from ..importers.torch.program.export import frozen, leaves, reason, tensors
from ..importers.torch.program.packed import rebuilt

if TYPE_CHECKING:
    from ..model import Model

FLOOR = 2e-5            # of an output's largest number: what float32 sums of a few hundred terms, and our functions of
                        # 2 to 4 units in the last place, may differ by through some dozen steps
CONDITION = 16          # times the module's own distance to float64: other orders of summing come out elsewhere
ALONE = 2e-4            # of the largest number, where no float64 copy runs to compare with
MOST_ONES = 6           # open sizes that are set to 1, one at a time
PRIMES = (5, 7, 11, 13, 17, 19, 23)


def compare_with_module(model: Model, module: Any, example_inputs: Any) -> None:
    """Compare a model with the live torch module that it was made from, and warn of sizes that torch has fixed.

    Raises LstmEngineError naming the output and the difference.
    """
    import torch

    example = tensors(examples_of(module, example_inputs))
    _warn_of_fixed_sizes(model)
    ours_names = list(model.outputs)
    plain = frozen(module)
    wide = _in_float64(plain)
    seen, refusal = 0, ""
    for case, arguments in _cases(model, example):
        given = dict(zip(model.inputs, map(_array, leaves(arguments)), strict=True))
        try:        # first, for torch's own kernels crash on some sizes that the program refuses
            made = model.predict(given)
        except ArgumentError as error:      # a size outside what the program holds for is refused, which is right
            if case == "as given":
                raise LstmEngineError(f"the converted module does not run on its example_inputs: {error}") from error
            continue
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = _run(plain, arguments)
            except Exception as error:      # whatever forward raises: torch itself does not take these sizes
                refusal = reason(error)
                continue
            exact = _exact(wide, arguments)
        results = [made[name] for name in ours_names] if isinstance(made, dict) else [made]
        _compare(dict(zip(ours_names, results)), expected, exact, f"inputs {case}")
        seen += 1
    if not seen:
        raise LstmEngineError(f"the module could not be run to be compared with: {refusal}")


def _run(module: Any, arguments: Any) -> list[np.ndarray]:
    return [leaf.double().numpy() if leaf.dtype.is_floating_point else leaf.numpy()
            for leaf in leaves(_list_of(module(*_copied(arguments))))]


def _list_of(outputs: Any) -> Any:
    return outputs if isinstance(outputs, (tuple, list, dict)) else [outputs]


def _copied(value: Any) -> Any:
    """Arguments that forward may change in place."""
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [_copied(item) for item in value])
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value.clone() if hasattr(value, "clone") else value


def _array(leaf: Any) -> np.ndarray:
    """A tensor as our model takes it: half precision as float32."""
    array: np.ndarray = (leaf.float() if leaf.dtype.is_floating_point and leaf.dtype.itemsize == 2 else leaf).numpy()
    return array


def _in_float64(module: Any) -> Any:
    """A copy of the module in float64; None where it has none."""
    import copy

    try:
        copied = copy.deepcopy(module)
        copied.double()
        return copied
    except Exception:       # of the user's own classes
        return None


def _exact(wide: Any, arguments: Any) -> list[np.ndarray] | None:
    """The outputs in float64; None if the module cannot be run so, as where forward makes float32 by itself."""
    if wide is None:
        return None
    try:
        return _run(wide, _widened(arguments))
    except Exception:
        return None


def _widened(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [_widened(item) for item in value])
    if isinstance(value, dict):
        return {key: _widened(item) for key, item in value.items()}
    return value.double() if hasattr(value, "double") and value.dtype.is_floating_point else value


def _compare(ours: Mapping[str, np.ndarray], expected: list[np.ndarray], exact: list[np.ndarray] | None,
             case: str) -> None:
    if len(ours) != len(expected):
        raise LstmEngineError(f"the module gives {len(expected)} outputs, the converted model {len(ours)}")
    for at, (name, got) in enumerate(ours.items()):
        wanted = expected[at]
        if got.shape != wanted.shape:
            raise LstmEngineError(f"output {name!r} for {case}: the module gives {list(wanted.shape)}, the converted "
                                  f"model {list(got.shape)}")
        if not got.size:
            continue
        best = wanted if exact is None or exact[at].shape != wanted.shape else exact[at]
        if wanted.dtype.kind != "f":
            # A choice that the module itself makes otherwise in float64 is no difference.
            differs = (got != wanted) & (wanted == best)
            if differs.any():
                raise LstmEngineError(f"output {name!r} for {case}: {int(differs.sum())} of {differs.size} numbers "
                                      "differ from the module's own")
            continue
        _compare_floats(name, got.astype(np.float64), wanted, best, exact is None, case)


def _compare_floats(name: str, got: np.ndarray, wanted: np.ndarray, best: np.ndarray, alone: bool, case: str) -> None:
    got, wanted, best = map(np.atleast_1d, (got, wanted, best))
    odd = ~np.isfinite(wanted) | ~np.isfinite(best)
    same_odd = (np.isnan(got) & np.isnan(wanted)) | (got == wanted) | ~np.isfinite(best)
    scale = max(1.0, float(np.max(np.abs(best[~odd]), initial=0.0)))
    own = float(np.max(np.abs(wanted - best)[~odd], initial=0.0))
    allowed = scale * ALONE if alone else scale * FLOOR + CONDITION * own
    distance = np.abs(np.where(odd, 0, got) - np.where(odd, 0, best))
    distance[np.isnan(distance)] = np.inf
    worst = float(distance.max())
    if worst > allowed or not same_odd[odd].all():
        raise LstmEngineError(f"output {name!r} for {case}: the converted model differs from the module by {worst:.3g} "
                              f"(allowed {allowed:.2g}); it is not converted")


# ---- inputs to compare on -----------------------------------------------------------------------------------


def _cases(model: Model, example: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The example itself, then numbers made up in its sizes and in others: more rows and steps, one row, all alike."""
    import torch

    values = list(model.inputs.values())
    sizes: dict[str, int] = {dim: size for value, leaf in zip(values, leaves(example), strict=True)
                             for dim, size in zip(value.shape, leaf.shape) if isinstance(dim, str)}
    ranges = _id_ranges(model)
    generator = torch.Generator().manual_seed(0)
    yield "as given", example

    def made(changed: Mapping[str, int], scale: float = 1.0, offset: float = 0.0) -> tuple[Any, ...]:
        chosen = iter([_numbers(value, leaf, {**sizes, **changed}, ranges, generator, scale, offset)
                       for value, leaf in zip(values, leaves(example), strict=True)])
        filled: tuple[Any, ...] = _filled(example, chosen)
        return filled

    symbols = list(sizes)
    more = {symbol: sizes[symbol] + PRIMES[at % len(PRIMES)] for at, symbol in enumerate(symbols)}
    most = max(sizes.values(), default=1)
    alike = dict.fromkeys(symbols, most + 2)
    ones = [{symbol: 1} for symbol in symbols[:MOST_ONES]]      # a size of 1 is what a branch or squeeze would ask for
    for changed in ({}, more, alike, *ones):
        shown = ", ".join(f"{symbol} {size}" for symbol, size in {**sizes, **changed}.items())
        numbers = (3.0, 1.0) if changed is more else (1.0, 0.0)
        yield f"of {shown or 'the example sizes'}", made(changed, *numbers)


def _filled(value: Any, chosen: Iterator[Any]) -> Any:
    """`value` with its tensors replaced in order."""
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [_filled(item, chosen) for item in value])
    if isinstance(value, dict):
        return {key: _filled(item, chosen) for key, item in value.items()}
    return next(chosen) if hasattr(value, "detach") else value


def _numbers(value: Value, leaf: Any, sizes: Mapping[str, int], ranges: Mapping[str, int], generator: Any,
             scale: float, offset: float) -> Any:
    """Random numbers for an input: whole ones within what the example has, or what the table of an embedding has."""
    import torch

    shape = [sizes[dim] if isinstance(dim, str) else dim for dim in value.shape]
    if leaf.dtype.is_floating_point:
        return (torch.randn(shape, generator=generator) * scale + offset).to(leaf.dtype)
    if leaf.dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    low, high = int(leaf.min()), int(leaf.max())
    if value.name in ranges:
        low, high = 0, ranges[value.name] - 1
    return torch.randint(low, high + 1, shape, generator=generator, dtype=leaf.dtype)


def _id_ranges(model: Model) -> dict[str, int]:
    """The rows of the table that reads an input, by the input's name."""
    found: dict[str, int] = {}
    for node in model.graph.nodes:
        if isinstance(node, Embedding):
            name, rows = node.inputs[0], len(node.table)
        elif isinstance(node, Operator) and node.op_type == "Gather" and 0 in node.constants \
                and not node.attributes.get("axis", 0):
            name, rows = node.inputs[1], len(node.constants[0])
        else:
            continue
        found[name] = min(rows, found.get(name, rows))
    return found


def _warn_of_fixed_sizes(model: Model) -> None:
    """Say which sizes of the inputs torch has fixed, features aside."""
    fixed = fixed_sizes(model.graph)
    if fixed:
        ones = any(text.endswith(" at 1") for text in fixed.split(", "))
        warnings.warn(f"torch.export has fixed {fixed}: the converted model takes no other sizes there"
                      f"{'; a size of 1 in example_inputs is always fixed, give 2 or more' if ones else ''}",
                      UserWarning, stacklevel=4)
