"""Parts of a torch program under no_grad and autocast: those that change no number are read, the others refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="makes programs of PyTorch, which is not installed")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import UnsupportedError  # noqa: E402

nn = torch.nn
CLOSE = 1e-6        # float32 of a few steps of gates, in another order of sums


class Speaker(nn.Module):
    """A normalisation without gradients, one part in the other, as coqui's speaker encoder has it."""

    def __init__(self):
        super().__init__()
        self.norm, self.lstm = nn.InstanceNorm1d(5), nn.LSTM(5, 6, batch_first=True)

    def forward(self, x):
        with torch.no_grad():
            with torch.autocast("cpu", enabled=False):
                same, y = x, self.norm(x).transpose(1, 2)
            scale = y.abs().amax()
        return self.lstm(y)[0][:, -1] * scale, same * 2


def agree(model, module, x):
    with torch.no_grad():
        wanted = module(x)
    for ours, theirs in zip(model.predict(x.numpy()).values(), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("live", [True, False])
def test_what_changes_no_number_is_read(tmp_path, live):
    torch.manual_seed(0)
    module, x = Speaker().eval(), torch.randn(2, 5, 7)
    if live:
        model = le.convert(module, example_inputs=(x,))
        agree(model, module, torch.randn(3, 5, 4))
    else:
        torch.export.save(torch.export.export(module, (x,)), tmp_path / "m.pt2")
        model = le.convert(tmp_path / "m.pt2")
    agree(model, module, x)


class Halved(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.fc(x)


def test_half_precision_is_refused(tmp_path):
    torch.export.save(torch.export.export(Halved().eval(), (torch.zeros(2, 5),)), tmp_path / "m.pt2")
    with pytest.raises(UnsupportedError, match="under autocast, which computes in half precision; leave autocast out"):
        le.convert(tmp_path / "m.pt2")
