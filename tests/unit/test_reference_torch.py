"""The oracle against PyTorch in float64: LSTM with projection, GRU, RNN, packed sequences."""

import numpy as np
import pytest

from lstm_engine import reference
from lstm_engine.graph import RELU
from lstm_engine.graph.gates import TORCH_GRU, TORCH_LSTM, reorder

torch = pytest.importorskip("torch")

# Both sides are float64 and sum in another order: some 100 roundings of 1.1e-16.
TIGHT = dict(rtol=1e-12, atol=1e-13)
FEATURES, H, BATCH, TIME = 5, 4, 3, 6


def onnx_weights(module, order: str) -> dict[str, np.ndarray]:
    """W, R, B and projection of the first layer of a torch module, in ONNX's order."""
    suffixes = ["", "_reverse"] if module.bidirectional else [""]
    found = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}

    def stacked(kind: str) -> np.ndarray:
        return np.stack([reorder(found[f"{kind}_l0{suffix}"], order) for suffix in suffixes])

    weights = dict(W=stacked("weight_ih"), R=stacked("weight_hh"),
                   B=np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1))
    if getattr(module, "proj_size", 0):
        weights["projection"] = np.stack([found[f"weight_hr_l0{suffix}"] for suffix in suffixes])
    return weights


def build(kind: str, **options):
    torch.manual_seed(1)
    return getattr(torch.nn, kind)(FEATURES, H, batch_first=True, dtype=torch.float64, **options)


def data(dirs: int, *sizes: int) -> tuple[torch.Tensor, ...]:
    """x [batch, time, features], and one state [batch, dirs, size] for each of `sizes`."""
    rng = np.random.default_rng(2)
    return tuple(torch.tensor(rng.standard_normal(shape))
                 for shape in ((BATCH, TIME, FEATURES), *((BATCH, dirs, size) for size in sizes)))


def by_direction(y: torch.Tensor, dirs: int) -> np.ndarray:
    """torch's [batch, time, dirs*H] as [batch, time, dirs, H]."""
    return y.detach().numpy().reshape(BATCH, TIME, dirs, -1)


@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("dirs", [1, 2])
def test_lstm(dirs, proj_size):
    module = build("LSTM", bidirectional=dirs == 2, proj_size=proj_size)
    x, h0, c0 = data(dirs, proj_size or H, H)
    y, (h, c) = module(x, (h0.swapaxes(0, 1).contiguous(), c0.swapaxes(0, 1).contiguous()))
    Y, Y_h, Y_c = reference.lstm(x, **onnx_weights(module, TORCH_LSTM), initial_h=h0, initial_c=c0,
                                 direction="bidirectional" if dirs == 2 else "forward")
    for ours, theirs in ((Y, by_direction(y, dirs)), (Y_h, h.swapaxes(0, 1)), (Y_c, c.swapaxes(0, 1))):
        np.testing.assert_allclose(ours, theirs if isinstance(theirs, np.ndarray) else theirs.detach(), **TIGHT)


@pytest.mark.parametrize("dirs", [1, 2])
@pytest.mark.parametrize("kind", ["GRU", "RNN", "RNN relu"])
def test_gru_and_rnn(kind, dirs):
    options = dict(nonlinearity="relu") if kind.endswith("relu") else {}
    module = build(kind[:3], bidirectional=dirs == 2, **options)
    x, h0 = data(dirs, H)
    y, h = module(x, h0.swapaxes(0, 1).contiguous())
    direction = "bidirectional" if dirs == 2 else "forward"
    if kind == "GRU":
        Y, Y_h = reference.gru(x, **onnx_weights(module, TORCH_GRU), initial_h=h0, direction=direction,
                               linear_before_reset=True)
    else:
        Y, Y_h = reference.rnn(x, **onnx_weights(module, "h"), initial_h=h0, direction=direction,
                               activations=((RELU,),) * dirs if options else None)
    np.testing.assert_allclose(Y, by_direction(y, dirs), **TIGHT)
    np.testing.assert_allclose(Y_h, h.swapaxes(0, 1).detach(), **TIGHT)


@pytest.mark.parametrize("dirs", [1, 2])
def test_lengths_are_a_packed_sequence(dirs):
    module = build("LSTM", bidirectional=dirs == 2)
    x, h0, c0 = data(dirs, H, H)
    lengths = np.array([4, 6, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    packed_y, (h, c) = module(packed, (h0.swapaxes(0, 1).contiguous(), c0.swapaxes(0, 1).contiguous()))
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_y, batch_first=True, total_length=TIME)
    x[0, 4:] = x[2, 1:] = float("nan")          # what stands in the padding must not matter
    Y, Y_h, Y_c = reference.lstm(x, **onnx_weights(module, TORCH_LSTM), sequence_lens=lengths, initial_h=h0,
                                 initial_c=c0, direction="bidirectional" if dirs == 2 else "forward")
    np.testing.assert_allclose(Y, by_direction(y, dirs), **TIGHT)
    np.testing.assert_allclose(Y_h, h.swapaxes(0, 1).detach(), **TIGHT)
    np.testing.assert_allclose(Y_c, c.swapaxes(0, 1).detach(), **TIGHT)
