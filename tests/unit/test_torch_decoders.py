"""Decoders with a loop of their own, scripted and written by torch.onnx: any number of words, rows and steps."""

from __future__ import annotations

import io
import warnings
from typing import List  # noqa: UP035  torch's scripts know no other

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import lstm_engine as le  # noqa: E402

WORDS, FEATURES, H = 20, 8, 16
# float32 over some turns of sums of 40 terms below 1, beside torch's.
TOLERANCE = 2e-6


class Translator(torch.nn.Module):
    def __init__(self, reads: int = FEATURES) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(WORDS, FEATURES)
        self.encoder = torch.nn.LSTM(FEATURES, H, batch_first=True)
        self.cell = torch.nn.LSTMCell(reads, H)
        self.out = torch.nn.Linear(H, WORDS)

    def begun(self, x):                                                         # type: ignore[no-untyped-def]
        """What was encoded, the states behind it, and the first words."""
        encoded, (h, c) = self.encoder(self.words(x))
        return encoded, h[0], c[0], torch.zeros(x.size(0), dtype=torch.long)


class Greedy(Translator):
    """Each turn reads the word with the highest score of the one before it."""

    def forward(self, x, steps: int):                                           # type: ignore[no-untyped-def]
        encoded, h, c, word = self.begun(x)
        outputs: List[torch.Tensor] = []  # noqa: UP006
        for _step in range(steps):
            h, c = self.cell(self.words(word), (h, c))
            word = self.out(h).argmax(1)
            outputs.append(word)
        return torch.stack(outputs, 1)


class UntilTheEnd(Translator):
    """It ends when every row has said word 3."""

    def forward(self, x, steps: int):                                           # type: ignore[no-untyped-def]
        encoded, h, c, word = self.begun(x)
        done = torch.zeros(x.size(0), dtype=torch.bool)
        outputs: List[torch.Tensor] = []  # noqa: UP006
        step = 0
        while step < steps and not bool(done.all()):
            h, c = self.cell(self.words(word), (h, c))
            word = self.out(h).argmax(1)
            done = done | (word == 3)
            outputs.append(word)
            step += 1
        return torch.stack(outputs, 1)


class Attentive(Translator):
    """Luong's attention over what was encoded; the scores are given."""

    def __init__(self) -> None:
        super().__init__(FEATURES + H)
        self.asks = torch.nn.Linear(H, H)

    def forward(self, x, steps: int):                                           # type: ignore[no-untyped-def]
        encoded, h, c, word = self.begun(x)
        outputs: List[torch.Tensor] = []  # noqa: UP006
        for _step in range(steps):
            weights = torch.softmax((encoded @ self.asks(h).unsqueeze(2)).squeeze(2), 1)
            context = (weights.unsqueeze(1) @ encoded).squeeze(1)
            h, c = self.cell(torch.cat([self.words(word), context], 1), (h, c))
            scores = self.out(h)
            word = scores.argmax(1)
            outputs.append(scores)
        return torch.stack(outputs, 1)


class InPlace(Translator):
    """Steps are written into a tensor that is there before."""

    def forward(self, x, steps: int):                                           # type: ignore[no-untyped-def]
        first = self.words(x)[:, 0]
        h = torch.zeros(x.size(0), 16)
        c = h
        out = torch.zeros(x.size(0), steps, 16)
        for step in range(steps):
            h, c = self.cell(first, (h, c))
            out[:, step] = h
        return out


class Viterbi(Translator):
    """The best path through a CRF: there, and back along the places that it came from."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = torch.nn.Parameter(torch.randn(WORDS, WORDS))

    def forward(self, x, steps: int):                                           # type: ignore[no-untyped-def]
        emitted = self.out(self.encoder(self.words(x))[0])
        score = emitted[:, 0]
        came: List[torch.Tensor] = []  # noqa: UP006
        for step in range(1, emitted.size(1)):
            best = (score.unsqueeze(2) + self.moves).max(1)
            score = best[0] + emitted[:, step]
            came.append(best[1])
        at = score.argmax(1)
        path = [at]
        for i in range(len(came)):
            at = came[len(came) - 1 - i].gather(1, at.unsqueeze(1)).squeeze(1)
            path.append(at)
        return torch.stack(path, 1)


@pytest.mark.parametrize("kind", [Greedy, UntilTheEnd, Attentive, InPlace, Viterbi])
def test_decoders(kind: type[Translator]) -> None:
    torch.manual_seed(len(kind.__name__))
    scripted, file = torch.jit.script(kind().eval()), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")             # of the exporter, which is the older one
        torch.onnx.export(scripted, (torch.zeros(2, 5, dtype=torch.long), 7), file, dynamo=False, opset_version=17,
                          input_names=["x", "steps"], dynamic_axes={"x": {0: "batch", 1: "time"}})
    model = le.convert(file.getvalue())
    for batch, time, steps in ((2, 5, 7), (3, 9, 4), (1, 4, 1), (3, 9, 12)):
        x = torch.randint(0, WORDS, (batch, time))
        wanted = scripted(x, steps).detach().numpy()
        given = {"x": x.numpy(), "steps": np.array(steps)}
        made = model.predict({name: given[name] for name in model.inputs})
        assert isinstance(made, np.ndarray) and made.shape == wanted.shape
        np.testing.assert_allclose(made, wanted, rtol=0, atol=TOLERANCE)
