"""Models written by both of torch.onnx's exporters."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

FEATURES, HIDDEN, VOCABULARY = 5, 6, 50


class Stack(nn.Module):
    """A recurrent stack alone; with `states` the initial states come in and the final ones go out."""

    def __init__(self, kind: str, layers: int, bidirectional: bool, batch_first: bool, states: bool) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(FEATURES, HIDDEN, layers, bidirectional=bidirectional, batch_first=batch_first)
        self.kind, self.states = kind, states

    def forward(self, x, h=None, c=None):
        if not self.states:
            return self.rnn(x)[0]
        y, final = self.rnn(x, (h, c) if self.kind == "LSTM" else h)
        return (y, *final) if self.kind == "LSTM" else (y, final)


class Classifier(nn.Module):
    """Embedding, a recurrent stack, and a head that the subclass puts on (y, h): sequences and final states."""

    def __init__(self, bidirectional: bool = False, layers: int = 1, kind: str = "LSTM", **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.rnn = getattr(nn, kind)(FEATURES, HIDDEN, layers, bidirectional=bidirectional, batch_first=True, **options)
        self.norm = nn.LayerNorm(HIDDEN)
        self.head = nn.Linear(HIDDEN * (2 if bidirectional else 1), 3)

    def forward(self, x):
        y, final = self.rnn(self.embedding(x))
        return self.top(y, final[0] if isinstance(final, tuple) else final, x)


class LastStep(Classifier):
    def top(self, y, h, x):
        return torch.sigmoid(self.head(y[:, -1]))


class LastSlice(Classifier):
    def top(self, y, h, x):
        return self.head(y[:, -1:, :]).squeeze(1)


class LastState(Classifier):
    def top(self, y, h, x):
        return self.head(h[-1])


class BothStates(Classifier):
    def top(self, y, h, x):
        return torch.log_softmax(self.head(torch.cat([h[-2], h[-1]], 1)), -1)


class LayersOfStates(Classifier):
    def top(self, y, h, x):
        top = h.view(self.rnn.num_layers, 2, x.shape[0], HIDDEN)[-1]
        return self.head(top.transpose(0, 1).reshape(x.shape[0], -1))


class Mean(Classifier):
    def top(self, y, h, x):
        return torch.softmax(self.head(y.mean(1)), -1)


class Max(Classifier):
    def top(self, y, h, x):
        return self.head(torch.relu(y.max(1).values))


class Attention(Classifier):
    def top(self, y, h, x):
        weights = torch.softmax(y.sum(-1), 1)
        return self.head((y * weights.unsqueeze(-1)).sum(1))


class Residual(Classifier):
    def top(self, y, h, x):
        return self.head(nn.functional.gelu(self.norm(y + torch.tanh(y))))


class Rows(Classifier):
    def top(self, y, h, x):
        batch, time, features = y.shape
        return self.head(y.reshape(batch * time, features)).view(batch, time, -1)


class Flipped(Classifier):
    def top(self, y, h, x):
        return self.head(torch.flip(y, [1]))


class LearnedStates(Classifier):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.h0 = nn.Parameter(torch.randn(1, 1, HIDDEN))
        self.c0 = nn.Parameter(torch.randn(1, 1, HIDDEN))

    def forward(self, x):
        rows = x.shape[0]
        states = (self.h0.expand(-1, rows, -1).contiguous(), self.c0.repeat(1, rows, 1))
        return self.head(self.rnn(self.embedding(x), states)[0])


class Packed(Classifier):
    """pack_padded_sequence around the layer; TorchScript only, for the other exporter refuses it."""

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.head(y)


def export(module: nn.Module, arguments: Sequence[torch.Tensor], inputs: list[str], outputs: list[str],
           axes: dict[str, dict[int, str]], dynamo: bool) -> Any:
    """The ModelProto of a module. axes: the open axes of each input, by name."""
    import onnx
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            dims = {name: torch.export.Dim(name, min=2) for of in axes.values() for name in of.values()}
            shapes = tuple({axis: dims[name] for axis, name in axes[i].items()} for i in inputs)
            return torch.onnx.export(module.eval(), tuple(arguments), input_names=inputs, output_names=outputs,
                                     dynamic_shapes=shapes, dynamo=True, verbose=False).model_proto
        file = io.BytesIO()
        torch.onnx.export(module.eval(), tuple(arguments), file, input_names=inputs, output_names=outputs,
                          dynamic_axes=axes, dynamo=False)
        return onnx.load_from_string(file.getvalue())


def fed_time(dynamo: bool) -> int:
    """Steps to feed. The newer exporter writes the 7 of its example into the graph, though it was to be open."""
    return 7 if dynamo else 9
