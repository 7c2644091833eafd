"""Modules with forwards of their own, live and through `.pt2` files, against torch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_program_cases import composed, single  # noqa: E402
from torch_programs import BLOCKS  # noqa: E402

import lstm_engine as le  # noqa: E402

SEEDS = range(20)
SIZES = [(3, 6), (1, 6), (5, 6), (4, 9), (2, 1)]         # the example's first


def run(module, arguments):
    """The outputs of a module in float32 and float64."""
    import copy

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single_ = module(*arguments)
        wide = copy.deepcopy(module).double()(*(x.double() if x.is_floating_point() else x for x in arguments))
    both = [made if isinstance(made, tuple) else (made,) for made in (single_, wide)]
    return [[x.numpy() for x in made] for made in both]


def outputs(model, arguments):
    made = model.predict(dict(zip(model.inputs, (x.numpy() for x in arguments), strict=True)))
    return list(made.values()) if isinstance(made, dict) else [made]


def compare(model, module, arguments):
    """Our distance to float64 within what float32 has: that of torch, with room for another order of sums."""
    single_, wide = run(module, arguments)
    ours = outputs(model, arguments)
    assert len(ours) == len(wide)
    for got, rough, exact in zip(ours, single_, wide, strict=True):
        assert got.shape == exact.shape
        # 64 units of float32: our functions' 2 to 4 each, through a dozen operators.
        allowed = 16 * np.abs(rough - exact).max(initial=0) + 64 * 2**-24 * max(1, np.abs(exact).max(initial=0))
        assert np.abs(got - exact).max(initial=0) <= allowed


def converted(case):
    """The model of a live module."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.export has fixed")
        return le.convert(case.module, example_inputs=case.inputs(*SIZES[0]))


def exported(case, path):
    """The model of the `.pt2` file that torch writes: recurrent layers fix their number of steps there."""
    arguments = case.inputs(*SIZES[0])
    shapes = torch.export.ShapesCollection()
    for x in arguments:
        shapes[x] = dict.fromkeys(range(x.dim()), torch.export.Dim.AUTO)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(case.module.eval(), arguments, dynamic_shapes=shapes), path)
    return le.convert(path)


def fits(model, arguments):
    sizes = {}
    return all(len(value.shape) == x.dim() and all(sizes.setdefault(d, s) == s if isinstance(d, str) else d == s
                                                   for d, s in zip(value.shape, x.shape))
               for value, x in zip(model.inputs.values(), arguments))


def check(case, tmp_path):
    torch.manual_seed(1)
    live = converted(case)
    case.module.eval()
    from_file = exported(case, tmp_path / "a.pt2")
    live.save(tmp_path / "a.lstm")
    loaded = le.load(tmp_path / "a.lstm")
    ran = 0
    for sizes in SIZES:
        arguments = case.inputs(*sizes)
        for model in (live, from_file):
            if fits(model, arguments):
                compare(model, case.module, arguments)
                ran += 1
        if fits(live, arguments):
            for a, b in zip(outputs(live, arguments), outputs(loaded, arguments), strict=True):
                np.testing.assert_array_equal(a, b)
    assert ran >= 4


@pytest.mark.parametrize("name", BLOCKS)
def test_each_building_block(tmp_path, name):
    check(single(name), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_compositions(tmp_path, seed):
    check(composed(seed), tmp_path)
