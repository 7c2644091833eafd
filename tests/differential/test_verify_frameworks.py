"""verify beside PyTorch and Keras: live models and every kind of file, and programs that the weights do not tell."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402


class Net(nn.Module):
    """LSTM, then a Linear over every step; with a sigmoid behind it, which no weights tell of."""

    def __init__(self, sigmoid: bool = False) -> None:
        super().__init__()
        self.lstm, self.fc, self.sigmoid = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 2), sigmoid

    def forward(self, x):
        y = self.fc(self.lstm(x)[0])
        if self.sigmoid:
            return torch.sigmoid(y)
        return y


@pytest.fixture
def nets(tmp_path):
    """(a model of the chain, the module that it is, the module with the same weights and a sigmoid behind)."""
    torch.manual_seed(0)
    chain, other = Net().train(), Net(sigmoid=True)
    other.load_state_dict(chain.state_dict())
    torch.save(chain.state_dict(), tmp_path / "chain.pt")
    return le.convert(tmp_path / "chain.pt"), chain, other


def test_live_modules(nets):
    model, chain, other = nets
    before = {name: weight.clone() for name, weight in chain.state_dict().items()}
    report = le.verify(model, chain)
    assert report.ok and "the live Net in torch" in report.against
    assert chain.training and all(torch.equal(before[name], weight) for name, weight in chain.state_dict().items())
    report = le.verify(model, other)
    assert report.code == 1 and report.outputs["output"].found.absolute > 0.1


def test_a_framework_has_one_thread_and_a_live_module_gets_its_own_back(nets):
    model, chain, _ = nets
    seen = []

    class Counted(Net):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return super().forward(x)

    counted = Counted()
    counted.load_state_dict(chain.state_dict())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert le.verify(model, counted).ok
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def export(module, path, **options):
    torch.export.save(torch.export.export(module.eval(), (torch.randn(2, 5, 3),), **options), path)
    return path


@pytest.mark.parametrize("dynamic", [False, True])
def test_exported_programs(nets, tmp_path, dynamic):
    """Also where torch fixes the sizes: then inputs are made in these."""
    model, chain, other = nets
    options = {"dynamic_shapes": ({0: torch.export.Dim.AUTO},)} if dynamic else {}
    report = le.verify(model, export(chain, tmp_path / "chain.pt2", **options))
    assert report.ok and report.outputs["output"].shape[1:] == [5, 2] and report.outputs["output"].cases > 10
    assert le.verify(model, export(other, tmp_path / "other.pt2", **options)).code == 1


def test_torchscript_is_code(nets, tmp_path):
    model, chain, other = nets
    for name, module in (("chain", chain), ("other", other)):
        torch.jit.script(module.eval()).save(tmp_path / f"{name}.pt")
    report = le.verify(model, tmp_path / "other.pt")
    assert report.code == 3 and "TorchScript is code and was not run" in report.unchecked[0]
    assert le.verify(model, tmp_path / "other.pt", run_source=True).code == 1
    assert le.verify(model, tmp_path / "chain.pt", run_source=True).ok


@pytest.mark.parametrize("name", ["state.pt", "state.safetensors", "whole.pt"])
def test_weights_alone(nets, tmp_path, name):
    model, chain, _ = nets
    if name == "state.safetensors":
        pytest.importorskip("safetensors.torch").save_file(chain.state_dict(), tmp_path / name)
    else:
        torch.save(chain if name == "whole.pt" else chain.state_dict(), tmp_path / name)
    report = le.verify(model, tmp_path / name)
    assert report.code == 3 and not report.ok and "weights only: the program was not seen" in report.unchecked[0]


def test_a_module_that_cannot_take_the_inputs(nets):
    report = le.verify(nets[0], nn.Linear(7, 2))
    assert report.code == 3 and "takes none of the inputs" in report.unchecked[0]


class TestKeras:
    @pytest.fixture
    def keras(self):
        pytest.importorskip("h5py")
        return pytest.importorskip("keras")

    @staticmethod
    def model(keras, activation="sigmoid"):
        keras.utils.set_random_seed(1)
        return keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4, recurrent_activation=activation),
                                 keras.layers.Dense(2)])

    @pytest.mark.parametrize("suffix", ["keras", "h5"])
    def test_files_and_live_models(self, keras, tmp_path, suffix):
        model = self.model(keras)
        path = tmp_path / f"m.{suffix}"
        model.save(path)
        weights = [weight.copy() for weight in model.get_weights()]
        assert le.verify(le.convert(path), path, batch=[2], steps=[1, 5]).ok
        assert le.verify(le.convert(path), model, batch=[2], steps=[5]).ok
        assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights(), strict=True))
        other = self.model(keras, "relu")
        assert le.verify(le.convert(path), other, batch=[2], steps=[5]).code == 1

    def test_hard_sigmoid_of_tf_keras(self, keras, tmp_path):
        """0.2 x + 0.5 in a file of Keras 2, x / 6 + 0.5 under the same name in Keras 3."""
        import h5py

        path = tmp_path / "m.h5"
        self.model(keras, "hard_sigmoid").save(path)
        three = le.convert(path)
        assert le.verify(three, path, batch=[2], steps=[5]).ok
        with h5py.File(path, "r+") as file:
            file.attrs["keras_version"] = "2.15.0"
            file.attrs["model_config"] = file.attrs["model_config"].replace(
                '"recurrent_activation": "hard_sigmoid"', '"time_major": false, "recurrent_activation": "hard_sigmoid"')
        report = le.verify(le.convert(path), path, batch=[2], steps=[5])
        assert report.ok and "its hard_sigmoid (0.2 x + 0.5) stands in" in report.remarks[0]
        assert le.verify(three, path, batch=[2], steps=[5]).code == 1

    def test_weights_alone(self, keras, tmp_path):
        model = self.model(keras)
        model.save(tmp_path / "m.keras")
        model.save_weights(tmp_path / "m.weights.h5")
        report = le.verify(le.convert(tmp_path / "m.keras"), tmp_path / "m.weights.h5", batch=[2], steps=[5])
        assert report.code == 3 and "weights only: the program was not seen" in report.unchecked[0]

    def test_a_file_that_keras_cannot_read(self, keras, tmp_path):
        (tmp_path / "m.keras").write_bytes(b"no file of Keras")
        self.model(keras).save(tmp_path / "right.keras")
        report = le.verify(le.convert(tmp_path / "right.keras"), tmp_path / "m.keras", batch=[2], steps=[5])
        assert report.code == 3 and "keras could not run" in report.unchecked[0]
