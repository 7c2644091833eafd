"""Live modules beside the models that they become: sizes, conditions, and what is refused with torch's own reason."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import ArgumentError, LstmEngineError, UnsupportedError  # noqa: E402

nn = torch.nn
X = torch.randn(3, 6, 4)


class Own(nn.Module):
    """A forward of one's own over named parts."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *arguments):
        return self.run(self, *arguments)


def test_a_condition_on_a_size_is_kept():
    model = le.convert(Own(lambda s, x: x * 2 if x.shape[1] > 4 else x * 3), example_inputs=(X,))
    long, short = np.ones((2, 5, 4), np.float32), np.ones((2, 4, 4), np.float32)
    np.testing.assert_array_equal(model.predict(long), 2 * long)
    with pytest.raises(ArgumentError, match="the program holds only where size s.* is at least 5"):
        model.predict(short)


@pytest.mark.parametrize("place", [0, 1])
def test_a_branch_on_a_size_of_one_is_an_error(place):
    """torch traces as if no open size were 1, and notes no condition: only the module itself can tell."""
    module = Own(lambda s, x: x * 2 if x.shape[place] == 1 else x)
    with pytest.raises(LstmEngineError, match="differs from the module by"):
        le.convert(module, example_inputs=(X,))


def test_sizes_that_torch_fixes_are_fixed_and_said():
    def forward(s, x):
        h = torch.zeros(x.shape[0], 3)
        for t in range(x.shape[1]):
            h = s.cell(x[:, t], h)
        return h
    module = Own(forward, cell=nn.RNNCell(4, 3, nonlinearity="relu"))
    with pytest.warns(UserWarning, match="torch.export has fixed axis 1 of 'arguments_0' at 6"):
        model = le.convert(module, example_inputs=(X,))
    assert next(iter(model.inputs.values())).shape == ("batch", 6, 4)
    x = torch.randn(7, 6, 4)
    np.testing.assert_allclose(model.predict(x.numpy()), module(x).detach().numpy(), atol=1e-6)
    with pytest.raises(ArgumentError, match="6"):
        model.predict(np.zeros((2, 5, 4), np.float32))


def test_an_example_with_one_row_fixes_it():
    with pytest.warns(UserWarning, match="give 2 or more"):
        model = le.convert(nn.GRU(4, 3, batch_first=True), example_inputs=(X[:1],))
    assert model.inputs["input"].shape == (1, "time", 4)


@pytest.mark.parametrize("layer", [nn.LSTM(4, 3, 2, bidirectional=True), nn.GRU(4, 3), nn.LSTM(4, 3, proj_size=2)])
def test_layers_alone_give_what_they_give_in_torch(layer):
    """Time first, the sequence and every final state."""
    model = le.convert(layer)
    x = torch.randn(9, 2, 4)
    y, states = layer(x)
    expected = [y, *(states if isinstance(states, tuple) else [states])]
    for ours, theirs in zip(model.predict(x.numpy()).values(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-6)


def test_an_embedding_is_made_up_for():
    module = nn.Sequential(nn.Embedding(20, 4), nn.Linear(4, 3), nn.Softmax(-1))
    ids = torch.randint(0, 20, (4, 7))
    np.testing.assert_allclose(le.convert(module).predict(ids.numpy()), module(ids).detach().numpy(), atol=1e-6)


def test_nested_arguments_and_outputs():
    module = Own(lambda s, x, state: {"y": s.rnn(x, state)[0], "state": s.rnn(x, state)[1]},
                 rnn=nn.LSTM(4, 3, batch_first=True))
    state = torch.randn(1, 3, 3), torch.randn(1, 3, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = le.convert(module, example_inputs=(X, state))
    made = model.predict(dict(zip(model.inputs, (X.numpy(), *(s.numpy() for s in state)))))
    expected = module(X, state)
    for ours, theirs in zip(made.values(), (expected["y"], *expected["state"]), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-6)


def test_lengths_as_an_input():
    """The step before each end, picked by index."""
    module = Own(lambda s, x, n: s.rnn(x)[0][torch.arange(x.shape[0]), n - 1], rnn=nn.GRU(4, 3, batch_first=True))
    lengths = torch.tensor([1, 6, 3])
    model = le.convert(module, example_inputs=(X, lengths))
    made = model.predict(dict(zip(model.inputs, (X.numpy(), lengths.numpy()))))
    np.testing.assert_allclose(made, module(X, lengths).detach().numpy(), atol=1e-6)


def packed(s, x, lengths):
    sequence = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(s.rnn(sequence)[0], batch_first=True)[0]


def packed_mean(s, x, lengths):
    """What is in a packed sequence, worked on by itself: there is no padding in it."""
    sequence = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return s.rnn(sequence)[0].data.mean(0)


def counting(s, x):
    s.count.add_(1)
    return x + s.count


def under_autocast(s, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x * 2


def assigned(s, x):
    y = torch.zeros(x.shape[0], 4)
    y[:, 0] = x[:, 0, 0]
    return y


def seen_through(s, x):
    """A view made before a change in place, read after it."""
    y = x * 2
    first = y[:, 0]
    y[:, 0] = 3
    return torch.cat([y[:, 0], first], -1)


def smeared(s, x):
    """Each step is copied from the one before while that changes, too."""
    y = x * 2
    y[:, 1:] = y[:, :-1]
    return y


def spread_out(s, x):
    """A change of one row, which is all of them."""
    y = (x * 2)[:, :1].expand(-1, 3, -1)
    y[:, 0] = 1
    return y


def drawn(s, x):
    return x[torch.rand(x.shape) > 0.5]


@pytest.mark.parametrize("module, given", [
    (Own(packed, rnn=nn.LSTM(4, 3, batch_first=True)), (X, torch.tensor([1, 2, 5]))),
    (Own(lambda s, x: x[x > 0]), (X,)), (Own(assigned), (X,)), (Own(lambda s, x: x.sum()), (X,)),
    (Own(seen_through), (X,)),
    (Own(lambda s, x: nn.functional.interpolate(x.mT, scale_factor=1.5, mode="linear", align_corners=True)), (X,)),
])
def test_what_sizes_or_writes_make_is_torchs_own(module, given):
    made = le.convert(module, example_inputs=given)
    other = (torch.randn(4, 7, 4), *(torch.tensor([3, 7, 1, 2]) for _ in given[1:]))
    for arguments in (given, other):
        ours = made.predict(dict(zip(made.inputs, (x.numpy() for x in arguments), strict=True)))
        with torch.no_grad():
            theirs = module(*arguments).numpy()
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)      # float32 sums in another order


@pytest.mark.parametrize("lengths, reason", [
    ([0, 2, 3, 4], "the lengths of packed sequences are 1 or more"),
    ([1, 8, 2, 3], "row 0 is 8; expected 0 to 7, the steps of its input"),
])
def test_lengths_that_torch_refuses_to_pack_are_refused(lengths, reason):
    made = le.convert(Own(packed, rnn=nn.LSTM(4, 3, batch_first=True)),
                      example_inputs=(X, torch.tensor([1, 2, 6])))
    with pytest.raises(ArgumentError, match=reason):
        made.predict(dict(zip(made.inputs, (np.ones((4, 7, 4), np.float32), np.array(lengths)))))


def test_parametrized_weights_stay_parametrized():
    module = Own(lambda s, x: s.fc(x), fc=nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)))
    before = module.fc.weight.detach().clone()
    made = le.convert(module, example_inputs=(X,))
    assert nn.utils.parametrize.is_parametrized(module.fc)
    assert torch.equal(module.fc.weight, before)
    np.testing.assert_allclose(made.predict(X.numpy()), module(X).detach().numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("module, example, message", [
    (Own(packed_mean, rnn=nn.LSTM(4, 3, batch_first=True)), (X, torch.tensor([1, 2, 6])),
     "node 'mean' (torch.ops.aten.mean.dim): packed sequences, other than given to recurrent layers and "
     "pad_packed_sequence, are not supported"),
    (Own(lambda s, x: x if x.sum() > 0 else -x), (X,),
     "torch.export cannot export Own: GuardOnDataDependentSymNode: Could not guard on data-dependent expression"),
    (Own(drawn), (X,), "node 'rand' (torch.ops.aten.rand.default): this operator is not supported: it draws random"),
    (Own(lambda s, x: x + torch.randn_like(x)), (X,),
     "node 'randn_like' (torch.ops.aten.randn_like.default): this operator is not supported"),
    (Own(lambda s, x: nn.functional.dropout(x, 0.5, True)), (X,),
     "node 'dropout' (torch.ops.aten.dropout.default): dropout as in training is random"),
    (Own(counting, count=nn.Buffer(torch.zeros(1))), (X,), "node 'add_' (torch.ops.aten.add_.Tensor): it changes a "
     "tensor in place that is seen through an input or a weight"),
    (Own(smeared), (X,), "node 'copy_' (torch.ops.aten.copy_.default): it changes a tensor in place and reads it "
     "through 'slice_"),
    (Own(spread_out), (X,), "node 'expand' (torch.ops.aten.expand.default): a write through a tensor that is spread "
     "out is not supported; clone() it before"),
    (Own(under_autocast), (X,), "node 'mul' (torch.ops.higher_order.wrap_with_autocast): this operator is not"),
    (nn.LSTM(4, 3, device="meta"), (X,), "tensor 'weight_ih_l0' is meta: it has no plain values"),
])
def test_refused_by_name(module, example, message, capfd):
    with pytest.raises(UnsupportedError) as caught:
        le.convert(module, example_inputs=example)
    assert str(caught.value).startswith(message)
    assert not capfd.readouterr().err


def test_axes_dropped_where_they_are_1(tmp_path):
    """squeeze() drops the last axis; rows or steps that are 1 would go, too: refused by name."""
    module = Own(lambda s, x: s.fc(x).squeeze(), fc=nn.Linear(4, 1))
    model = le.convert(module, example_inputs=(X,))
    model.save(tmp_path / "m.lstm")
    for made in (model, le.load(tmp_path / "m.lstm")):
        for sizes in ((3, 6), (5, 2), (2, 9)):
            x = torch.randn(*sizes, 4)
            np.testing.assert_allclose(made.predict(x.numpy()), module(x).detach().numpy(), atol=1e-6)
        for sizes in ((1, 6), (5, 1)):
            with pytest.raises(ArgumentError, match="'squeeze'.*is not 1"):
                made.predict(np.zeros((*sizes, 4), np.float32))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_tensors_that_a_module_has_computed_and_kept():
    """The weight of the older weight_norm, what a call before has left: the module keeps its own."""
    module = Own(lambda s, x: s.fc(s.rnn(x)[0]), rnn=nn.GRU(4, 3, batch_first=True),
                 fc=nn.utils.weight_norm(nn.Linear(3, 2)))
    module.seen = [module(X)]
    weight = module.fc.weight
    model = le.convert(module, example_inputs=(X,))
    assert module.fc.weight is weight and module.seen[0].requires_grad
    np.testing.assert_allclose(model.predict(X.numpy()), module(X).detach().numpy(), atol=1e-6)


def test_sizes_that_follow_from_conditions_on_several_inputs():
    """Features that are open in each input; a layer behind them settles the sum."""
    module = Own(lambda s, x, y: s.fc(torch.stack(torch.cat([x, y], -1).unbind(-1)[::-1], -1)), fc=nn.Linear(7, 2))
    y = torch.randn(3, 6, 3)
    model = le.convert(module, example_inputs=(X, y))
    np.testing.assert_allclose(model.predict(dict(zip(model.inputs, (X.numpy(), y.numpy())))),
                               module(X, y).detach().numpy(), atol=1e-6)
    with pytest.raises(ArgumentError):
        model.predict(dict(zip(model.inputs, (X.numpy(), X.numpy()))))


def test_pooling_over_steps_leaves_them_open():
    """torch's own max_pool1d fixes its sizes while it is traced."""
    module = Own(lambda s, x: s.rnn(s.pool(x.transpose(1, 2)).transpose(1, 2))[0], pool=nn.MaxPool1d(2),
                 rnn=nn.GRU(4, 3, batch_first=True))
    model = le.convert(module, example_inputs=(X,))
    for steps in (4, 6, 9):         # torch keeps a single step out: it would be one for broadcasting
        x = torch.randn(2, steps, 4)
        np.testing.assert_allclose(model.predict(x.numpy()), module(x).detach().numpy(), atol=1e-6)


def test_a_file_says_which_sizes_are_fixed(tmp_path):
    """torch fixes the steps of a layer: said at conversion with what keeps them open, and kept in the file."""
    module = nn.GRU(4, 3, batch_first=True).eval()
    with torch.no_grad():
        program = torch.export.export(module, (X,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.warns(UserWarning, match=r"fixed axis 1 of 'input' at 6: .*le.convert\(module, example_inputs=...\)"):
        model = le.convert(tmp_path / "m.pt2")
    model.save(tmp_path / "m.lstm")
    assert "axis 1 of 'input' at 6" in le.load(tmp_path / "m.lstm").graph.metadata["fixed"]


def test_inputs_keep_their_names_for_sizes():
    """Rows that the graph makes elsewhere, for a state of zeros, do not give the input their name."""
    module = Own(lambda s, x: s.cell(x[:, -1], torch.zeros(x.shape[0], 3)) + s.rnn(x)[1][0], cell=nn.GRUCell(4, 3),
                 rnn=nn.GRU(4, 3, batch_first=True))
    model = le.convert(module, example_inputs=(X,))
    assert next(iter(model.inputs.values())).shape == ("batch", "time", 4)


def test_pool_is_not_for_programs():
    with pytest.raises(ArgumentError, match="says itself what it computes"):
        le.convert(Own(lambda s, x: x), pool="last")


def test_a_module_in_training_that_was_hooked_and_used():
    """Flags, gradients and hooks stay; a hook that changes the output is part of what is computed."""
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))
    module[0].register_forward_hook(lambda part, x, y: y + 1)
    module(torch.randn(5, 4)).sum().backward()
    model = le.convert(module)
    assert module.training and module[1].training and module[0].weight.grad is not None
    assert int(module[2].num_batches_tracked) == 1
    x = torch.randn(6, 4)
    np.testing.assert_allclose(model.predict(x.numpy()), module.eval()(x).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(dtype):
    """Half precision is computed in float32: the module in float64 is what comes out."""
    torch.manual_seed(0)
    module = nn.LSTM(4, 3, batch_first=True).to(dtype)
    model = le.convert(module)
    x = torch.randn(2, 5, 4).to(dtype)
    expected = module.double()(x.double())[0].detach().numpy()
    ours = model.predict(x.numpy() if dtype == torch.float64 else x.float().numpy())[next(iter(model.outputs))]
    np.testing.assert_allclose(ours, expected, atol=1e-14 if dtype == torch.float64 else 1e-6)


def test_normalized_weights_are_computed_once():
    torch.manual_seed(0)
    module = nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Tanh())
    model = le.convert(module)
    assert [node.op for node in model.graph.nodes] == ["Dense"]
    x = torch.randn(5, 4)
    np.testing.assert_allclose(model.predict(x.numpy()), module(x).detach().numpy(), atol=1e-6)
