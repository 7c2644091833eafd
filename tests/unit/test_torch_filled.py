"""Weights of a checkpoint in a live module: all of them in all of it, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine.errors import FormatError, UnsupportedError
from lstm_engine.importers.torch import fill
from lstm_engine.limits import Limits

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


def test_an_average_of_weights_goes_into_one(tmp_path):
    """What counts its updates has no prefix, and all else has one, which readers take off."""
    module, one = (torch.optim.swa_utils.AveragedModel(nn.Linear(2, 3)) for _ in range(2))
    assert "module's names begin with 'module.'" in filled(tmp_path, module, one.state_dict())
    assert torch.equal(module.module.weight, one.module.weight)


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
    with pytest.raises(UnsupportedError, match="'_extra_state'.*leave --weights out"):
        filled(tmp_path, Extra(2, 3), held(nn.Linear(2, 3)))


class Beside(nn.Module):
    """What a state dict leaves out: a buffer that is not persistent, and a plain attribute."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer, self.scale = nn.Linear(3, 2), torch.rand(2)
        self.register_buffer("shift", torch.rand(2), persistent=False)
        self.register_buffer("mask", torch.rand(2) > 0.5)

    def forward(self, x):
        return (self.layer(x) * self.scale + self.shift) * self.mask


@pytest.mark.parametrize("save", [
    torch.save,
    lambda module, path: torch.jit.script(module).save(str(path)),
    lambda module, path: torch.export.save(torch.export.export(module, (torch.ones(2, 3),)), path)],
    ids=["pickled", "script", "exported"])
def test_what_is_not_in_a_state_dict_is_loaded_where_the_file_has_it(tmp_path, save):
    one, other, x = Beside(1), Beside(2), torch.ones(2, 3)
    save(one, tmp_path / "w.pt2")
    assert not torch.equal(one(x), other(x))
    assert fill(other, tmp_path / "w.pt2", Limits()) is None
    assert torch.equal(one(x), other(x))


def chain(norm, bias=True):
    return nn.Sequential(norm(nn.Linear(3, 4, bias=bias)), nn.Linear(4, 2))


@pytest.mark.parametrize("prefix", ["", "model."])
def test_names_of_an_older_torch_are_those_that_its_own_loading_follows(tmp_path, prefix):
    old, new = chain(torch.nn.utils.weight_norm), chain(torch.nn.utils.parametrizations.weight_norm)
    said = filled(tmp_path, new, {f"{prefix}{name}": tensor for name, tensor in old.state_dict().items()})
    assert "the module's own loading gave '0.weight_g', '0.weight_v' other names" in said
    # The norms of the two are taken by different kernels.
    torch.testing.assert_close(old(torch.ones(2, 3)), new(torch.ones(2, 3)), rtol=0, atol=1e-6)


class Silent(nn.Module):
    """Says of its loading that nothing was missing, whatever came."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
        self.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())


class Copies(Silent):
    """Its state dict is of copies."""

    def state_dict(self, *args, **options):
        return {name: tensor.clone() for name, tensor in super().state_dict(*args, **options).items()}


class Filtering(Silent):
    """Loads in a way of its own, as many do: what it has, without a word."""

    def load_state_dict(self, state, strict=True):
        for name, tensor in self.state_dict().items():
            if name in state:
                tensor.copy_(state[name])


@pytest.mark.parametrize("kind", [Silent, Copies, Filtering])
def test_what_a_module_says_of_its_loading_is_not_believed(tmp_path, kind):
    state = held(kind())
    assert filled(tmp_path, kind(), state) is None
    with pytest.raises(FormatError, match="it has no tensor for 'two.weight', 'two.bias' of the module"):
        filled(tmp_path, kind(), {name: tensor for name, tensor in state.items() if "two" not in name})
    with pytest.raises(FormatError, match="the module has nothing called 'more'.*leave --weights out"):
        filled(tmp_path, kind(), state | {"more": torch.zeros(2)})


class Refuses(nn.Linear):
    def load_state_dict(self, state, strict=True):
        raise KeyError("a part")


class Loses(nn.Linear):
    def _load_from_state_dict(self, *arguments):
        pass


@pytest.mark.parametrize("kind, message", [
    (Refuses, "load_state_dict of Refuses raised KeyError: 'a part'"), (Loses, "the module's own loading changes it")])
def test_a_loading_of_the_class_s_own_that_fails_is_refused(tmp_path, kind, message):
    with pytest.raises((FormatError, UnsupportedError), match="w.pt") as caught:
        filled(tmp_path, kind(2, 3), held(nn.Linear(2, 3)))
    assert message in str(caught.value)


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"scale": 2}

    def set_extra_state(self, state):
        pass


class Own(torch.Tensor):
    """A tensor whose numbers mean what its class says."""


@pytest.mark.parametrize("state, message", [
    (lambda: Extra(2, 3).state_dict(), "extra state of a module, '_extra_state'"),
    (lambda: {"weight": torch.ones(3, 2).as_subclass(Own), "bias": torch.ones(3)}, "tensors of a class of their own")])
def test_a_file_that_says_more_than_numbers_is_refused(tmp_path, state, message):
    with pytest.raises(UnsupportedError, match=f"w.pt: it holds {message}.*leave --weights out"):
        filled(tmp_path, nn.Linear(2, 3), state())


def test_a_whole_module_with_a_tensor_of_a_class_of_its_own_is_refused(tmp_path):
    one = nn.Linear(2, 3)
    one._parameters["weight"] = nn.Parameter(torch.ones(3, 2)).as_subclass(Own)
    with pytest.raises(UnsupportedError, match="it holds tensors of a class of their own, such as 'weight'"):
        filled(tmp_path, nn.Linear(2, 3), one)
    with pytest.raises(UnsupportedError, match="it holds tensors of a class of their own"):
        le.convert(tmp_path / "w.pt", pool="none")


@pytest.mark.parametrize("stored, own", [
    (torch.tensor([1, 300]), torch.uint8), (torch.tensor([1, 5]), torch.bool), (torch.tensor([1, 2**40]), torch.int32),
    (torch.tensor([1, 1e6]), torch.float16), (torch.tensor([1, 1e300], dtype=torch.float64), torch.float32)])
def test_numbers_that_a_type_does_not_hold_are_refused(tmp_path, stored, own):
    module = nn.Linear(2, 3)
    module.register_buffer("table", torch.zeros(2, dtype=own))
    with pytest.raises(FormatError, match=f"'table' is {stored.dtype} in the file and {own} in the module"):
        filled(tmp_path, module, held(nn.Linear(2, 3)) | {"table": stored})


def test_numbers_that_are_none_are_loaded(tmp_path):
    module, state = nn.Linear(2, 3).half(), held(nn.Linear(2, 3))
    state["bias"] = torch.tensor([float("nan"), float("inf"), 0.1])
    assert filled(tmp_path, module, state) is None
    assert torch.equal(module.bias.isnan(), torch.tensor([True, False, False]))
    assert module.bias[1] == float("inf") and module.bias[2] == torch.tensor(0.1).half()


def test_a_module_without_memory_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="'weight' of the module is on the meta device"):
        filled(tmp_path, nn.Linear(2, 3, device="meta"), held(nn.Linear(2, 3)))
    torch.set_default_device("meta")        # which the user's own code may do
    try:
        module = nn.Linear(2, 3, device="cpu")
        assert filled(tmp_path, module, {"weight": torch.ones(3, 2, device="cpu"),
                                         "bias": torch.ones(3, device="cpu")}) is None
    finally:
        torch.set_default_device(None)
    assert torch.equal(module.weight, torch.ones(3, 2))


def test_an_error_names_the_file_once(tmp_path):
    with pytest.raises(FormatError) as caught:
        filled(tmp_path, nn.Linear(2, 3), {"one.weight": torch.ones(3, 2), "ema.weight": torch.ones(3, 2)})
    assert str(caught.value).count("w.pt") == 1


def test_lazy_layers_take_their_sizes_from_the_file(tmp_path):
    module, state = nn.LazyLinear(3), held(nn.Linear(5, 3))
    assert filled(tmp_path, module, state) is None
    assert torch.equal(module.weight, state["weight"])
    assert np.isfinite(module.weight.detach().numpy()).all()
