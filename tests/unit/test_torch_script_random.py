"""Random TorchScript methods against torch.jit, with open sizes and with those of one example, over several calls."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="makes archives with PyTorch, which is not installed")

from random_scripts import STEPS, module_of  # noqa: E402

import lstm_engine as le  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
# Up to some thirty float32 operations one after the other, layers and differences of like numbers among them.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SIZES = [(2, 3, 4), (1, 1, 4), (3, 5, 4), (1, 4, 4)]


@pytest.mark.parametrize("seed", range(0, 30))
def test_random_methods(tmp_path, seed):
    made, source = module_of(seed)
    made.save(tmp_path / "m.pt")
    for shape, sizes in ((["batch", "time", 4], SIZES), ([2, 3, 4], SIZES[:1])):
        model = le.convert(tmp_path / "m.pt", spec={"shapes": {"x": shape}})
        for size in sizes:
            compare(torch.jit.load(tmp_path / "m.pt"), model, size, source)


def compare(program, model, size, source):
    states = {name: np.zeros(info.shape, info.dtype) for name, info in model.inputs.items() if name != "x"}
    for step in range(STEPS):
        x = np.random.default_rng(step).standard_normal(size).astype(np.float32)
        try:
            with torch.no_grad():
                wanted = program(torch.from_numpy(x.copy()))
        except torch.jit.Error:                         # what raises there is refused here
            with pytest.raises(le.LstmEngineError):
                model.predict({"x": x, **states})
            return
        given = model.predict({"x": x, **states})           # two outputs, and the states
        states = {name: given[f"{name}_out"] for name in states}
        for ours, theirs in zip(list(given.values())[:len(wanted)], wanted, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), err_msg=source, **CLOSE)
