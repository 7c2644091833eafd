"""Modules and checkpoints as frameworks on top of torch have them, made anew of plain torch.

`tools/make_framework_fixtures.py` makes them by the frameworks' own code, to see that they are still laid out so."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="makes modules of PyTorch, which is not installed")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import ArgumentTypeError, UnsupportedError  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:torch.export has fixed")
CLOSE = 1e-6        # float32 of a few steps of gates, in another order of sums


class Handed(nn.Module):
    """Hands nothing on from `cpu()`, `double()`, `eval()` and `train()`, as flair's LanguageModel does."""

    def __init__(self):
        super().__init__()
        self.encoder, self.rnn = nn.Embedding(9, 4), nn.LSTM(4, 6)
        self.decoder = nn.Linear(6, 9)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)

    def train(self, mode=True):
        super().train(mode)

    def forward(self, words, hidden: tuple[torch.Tensor, torch.Tensor]):
        y, hidden = self.rnn(self.encoder(words), hidden)
        return self.decoder(y), hidden


def test_a_module_whose_eval_gives_nothing_is_converted():
    torch.manual_seed(0)
    module = Handed()
    example = (torch.ones(5, 2, dtype=torch.int64), (torch.zeros(1, 2, 6), torch.zeros(1, 2, 6)))
    model = le.convert(module, example_inputs=example)
    given = (torch.tensor([[1, 2], [3, 4], [5, 8]]), (torch.ones(1, 2, 6), torch.zeros(1, 2, 6)))
    with torch.no_grad():
        y, (h, c) = module(*given)
    flat = [given[0], *given[1]]
    ours = model.predict(dict(zip(model.inputs, (tensor.numpy() for tensor in flat), strict=True)))
    for mine, theirs in zip(ours.values(), (y, h, c), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=0, atol=CLOSE)
    assert module.training


class Learner:
    """What trains a module, and holds it: skorch's `module_`, fastai's `model`, stable-baselines3's `policy`."""

    def __init__(self, module):
        self.lr, self.module_ = 0.1, module


def test_what_holds_a_module_is_named():
    with pytest.raises(ArgumentTypeError, match=r"not test_torch_frameworks.Learner; give its 'module_', which is one"):
        le.convert(Learner(nn.LSTM(2, 3)))
    with pytest.raises(ArgumentTypeError, match=r"not builtins.object$"):
        le.convert(object())


class Policy(nn.Module):
    """stable-baselines3's recurrent policy: two LSTMs side by side, each with a network behind it."""

    def __init__(self):
        super().__init__()
        self.mlp_extractor = nn.ModuleDict({"policy_net": nn.Sequential(nn.Linear(6, 5), nn.Tanh()),
                                            "value_net": nn.Sequential(nn.Linear(6, 5), nn.Tanh())})
        self.action_net, self.value_net = nn.Linear(5, 2), nn.Linear(5, 1)
        self.lstm_actor, self.lstm_critic = nn.LSTM(4, 6), nn.LSTM(4, 6)

    def forward(self, observed, h, c):
        y, (h, c) = self.lstm_actor(observed.unsqueeze(0), (h, c))
        return self.action_net(self.mlp_extractor["policy_net"](y.squeeze(0))), h, c


def test_two_networks_side_by_side_are_no_chain(tmp_path):
    torch.manual_seed(0)
    policy = Policy().eval()
    torch.save(policy.state_dict(), tmp_path / "policy.pth")
    with pytest.raises(UnsupportedError, match="'lstm_actor' 4 -> 6.*'lstm_critic' 4 -> 6.*inspect FILE --spec"):
        le.convert(tmp_path / "policy.pth")
    example = (torch.zeros(2, 4), torch.zeros(1, 2, 6), torch.zeros(1, 2, 6))
    model = le.convert(policy, example_inputs=example)
    given = torch.randn(3, 4), torch.randn(1, 3, 6), torch.randn(1, 3, 6)
    with torch.no_grad():
        wanted = policy(*given)
    ours = model.predict(dict(zip(model.inputs, (tensor.numpy() for tensor in given), strict=True)))
    for mine, theirs in zip(ours.values(), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=0, atol=CLOSE)
