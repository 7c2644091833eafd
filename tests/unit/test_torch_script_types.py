"""Types of results in TorchScript: what torch makes of the archive once it is loaded, for every pair of types, with and
without axes, as an input and as a constant of the code."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="makes archives with PyTorch, which is not installed")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import UnsupportedError  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
TYPES = (torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)
NUMBERS = {0: 2, 1: [1, 2, 3]}


def tensors():
    """One tensor of every type, without axes and with one."""
    return [torch.tensor(numbers).to(dtype) for dtype in TYPES for numbers in NUMBERS.values()]


def changed(x, y, how):
    made = x.clone()
    getattr(made, how)(y)
    return made


PAIRS = {
    "add": torch.add, "sub": torch.sub, "rsub": torch.rsub, "mul": torch.mul, "div": torch.div,
    "floor": torch.floor_divide, "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "remainder": torch.remainder, "fmod": torch.fmod, "maximum": torch.maximum, "eq": torch.eq, "less": torch.lt,
    "atan2": torch.atan2, "where": lambda x, y: torch.where(x > 0, x, y), "xlogy": torch.xlogy,
    "twice": lambda x, y: torch.add(x, y, alpha=2), "half": lambda x, y: torch.sub(x, y, alpha=0.5),
    "add_": lambda x, y: changed(x, y, "add_"), "mul_": lambda x, y: changed(x, y, "mul_"),
    "div_": lambda x, y: changed(x, y, "div_"), "copy_": lambda x, y: changed(x, y, "copy_"),
    "clamp": lambda x, y: torch.clamp(x, y, y + 1), "clamp below": lambda x, y: torch.clamp(x, min=y),
    "fill": lambda x, y: x.masked_fill(x > 1, y), "fill with a number": lambda x, y: x.masked_fill(x > y, 2.5),
    "stack": lambda x, y: torch.stack(torch.broadcast_tensors(x, y)), "power of numbers": lambda x, y: x ** 2.5 + y,
    "truth values": lambda x, y: (x > 1) * y, "numbers": lambda x, y: (x * 2.5 + y, x + 2, 1 - x, 1 / x),
    "sums": lambda x, y: (x.sum() * y, x.sum() * 2.5 * y.sum()), "places": lambda x, y: torch.arange(3) * x * y,
    "bits": torch.bitwise_and, "logic": torch.logical_and, "lerp": lambda x, y: torch.lerp(x, y, 0.25),
}


class OfPairs(nn.Module):
    """A function of every two tensors that torch takes, the second one an input or a constant of the code."""

    def __init__(self, function, constant):
        super().__init__()
        self.function, self.constant = function, constant
        self.taken = [at for at in range(len(tensors()) ** 2) if self.works(at)]

    def works(self, at):
        first, second = divmod(at, len(tensors()))
        try:
            return bool(self.of(tensors()[first], tensors()[second]))
        except RuntimeError:            # of types that torch does not take
            return False

    def of(self, x, y):
        made = self.function(x, y)
        return made if isinstance(made, tuple) else (made,)

    def forward(self, *given):
        made = []
        for at in self.taken:
            first, second = divmod(at, len(given))
            made += self.of(given[first], tensors()[second] if self.constant else given[second])
        return tuple(made)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_types_are_those_of_torch(tmp_path, name, constant):
    given, path = tensors(), tmp_path / "m.pt"
    torch.jit.save(torch.jit.trace(OfPairs(PAIRS[name], constant), tuple(given), check_trace=False), path)
    loaded = torch.jit.load(path)
    names = [argument.name for argument in loaded.forward.schema.arguments[1:]]
    spec = {"shapes": {called: list(tensor.shape) for called, tensor in zip(names, given)},
            "dtypes": {called: str(tensor.dtype).removeprefix("torch.") for called, tensor in zip(names, given)}}
    model = le.convert(path, spec=spec)
    ours = list(model.predict({called: tensor.numpy() for called, tensor in zip(names, given)
                               if called in model.inputs}).values())
    wanted = loaded(*given)
    assert len(ours) == len(wanted)
    for at, (mine, theirs) in enumerate(zip(ours, wanted)):
        assert mine.dtype == theirs.numpy().dtype, at
        # The last bits of float32 quotients and powers.
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-6, err_msg=str(at))


class Weighs(nn.Module):
    """A float64 factor that is no constant of the code: torch keeps its type."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor(0.3, dtype=torch.float64))

    def forward(self, x):
        return x.mean() * self.factor, (x > 0) * 0.3 @ x.mT, torch.stack([x.mean() * 0.3, x.sum()])


def test_products_with_plain_numbers_stay_float32(tmp_path):
    path, x = tmp_path / "m.pt", torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    torch.jit.save(torch.jit.trace(Weighs(), (x,)), path)
    wanted = torch.jit.load(path)(x)
    ours = le.convert(path, spec={"shapes": {"x": ["rows", 3]}}).predict(x.numpy()).values()
    assert [y.dtype.name for y in ours] == ["float64", "float32", "float32"]
    for mine, theirs in zip(ours, wanted):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-6, atol=1e-7)


class OfAnotherType(nn.Module):
    def forward(self, x):
        return nn.functional.binary_cross_entropy_with_logits(x.double(), x)


def test_a_target_of_another_type_is_refused(tmp_path):
    """torch makes the loss one of the target's type, in place."""
    path = tmp_path / "m.pt"
    torch.jit.save(torch.jit.trace(OfAnotherType(), (torch.zeros(2, 3),)), path)
    with pytest.raises(UnsupportedError, match="a target of float32"):
        le.convert(path, spec={"shapes": {"x": ["rows", 3]}})
