"""Weights of a checkpoint in a live module: all of them in all of it, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers.torch import fill

torch = pytest.importorskip("torch", reason="fills modules of PyTorch, which is not installed")
nn = torch.nn


class Net(nn.Module):
    def __init__(self, tied=False):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(6, 4), nn.GRU(4, 4, batch_first=True)
        self.norm, self.out = nn.BatchNorm1d(4), nn.Linear(4, 6, bias=False)
        if tied:
            self.out.weight = self.embedding.weight


def held(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def filled(tmp_path, module, state, save=torch.save):
    save(state, tmp_path / "w.pt")
    return fill(module, tmp_path / "w.pt")


@pytest.mark.parametrize("wrap, said", [
    (lambda state: state, None),
    (lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}}, None),
    (lambda state: {f"module.{name}": tensor for name, tensor in state.items()}, None),
    (lambda state: {f"lit.net.{name}": tensor for name, tensor in state.items()}, "begin with 'lit.net.'"),
    (lambda state: {name: tensor for name, tensor in state.items() if "num_batches" not in name}, None),
    (lambda state: state | {"total_ops": torch.zeros(1)}, None),
    (lambda state: {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
     None)])
def test_every_tensor_is_loaded(tmp_path, wrap, said):
    state, module = held(Net()), Net()
    answer = filled(tmp_path, module, wrap(state))
    assert (answer is None) == (said is None) and (said or "") in (answer or "")
    for name, tensor in held(module).items():
        assert torch.equal(tensor, state[name]) or "num_batches" in name, name


def test_a_module_may_be_wrapped(tmp_path):
    module, state = nn.ModuleDict({"net": Net()}), held(Net())
    assert "module's names begin with 'net.'" in filled(tmp_path, module, state)
    assert torch.equal(module["net"].rnn.weight_hh_l0, state["rnn.weight_hh_l0"])


def test_two_parts_that_fit_are_not_chosen_from(tmp_path):
    with pytest.raises(FormatError, match="none of its tensors .* is called as one of the module's"):
        filled(tmp_path, nn.ModuleDict({"one": Net(), "two": Net()}), held(Net()))


def test_weights_that_are_tied_may_stand_once(tmp_path):
    state, module = held(Net(tied=True)), Net(tied=True)
    del state["out.weight"]
    assert filled(tmp_path, module, state) is None
    assert torch.equal(module.out.weight, state["embedding.weight"])


@pytest.mark.parametrize("change, message", [
    (lambda state: state.pop("norm.running_var"), "it has no tensor for 'norm.running_var' of the module"),
    (lambda state: state.update(extra=torch.zeros(2)), "the module has nothing called 'extra'"),
    (lambda state: state.update({"out.weight": torch.zeros(6, 5)}), "size mismatch for out.weight"),
    (lambda state: state.update({"out.weight": torch.zeros(6, 4, dtype=torch.int64)}),
     "'out.weight' is torch.int64 in the file and torch.float32 in the module"),
    (lambda state: state.clear(), "w.pt")])
def test_what_does_not_fit_is_refused(tmp_path, change, message):
    state = held(Net())
    change(state)
    with pytest.raises((FormatError, UnsupportedError), match="w.pt") as caught:
        filled(tmp_path, Net(), state)
    assert message in str(caught.value)


def test_tied_weights_with_two_values_are_refused(tmp_path):
    with pytest.raises(FormatError, match="is the same memory in the module as another tensor"):
        filled(tmp_path, Net(tied=True), held(Net()))


def test_state_that_is_no_tensor_is_refused(tmp_path):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"scale": 2}

        def set_extra_state(self, state):
            pass

    with pytest.raises(UnsupportedError, match="'_extra_state'.*leave --weights out"):
        filled(tmp_path, Extra(2, 3), held(nn.Linear(2, 3)))


def test_lazy_layers_take_their_sizes_from_the_file(tmp_path):
    module, state = nn.LazyLinear(3), held(nn.Linear(5, 3))
    assert filled(tmp_path, module, state) is None
    assert torch.equal(module.weight, state["weight"])
    assert np.isfinite(module.weight.detach().numpy()).all()
