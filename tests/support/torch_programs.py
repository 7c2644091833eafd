"""Building blocks of torch modules with forwards of their own.

A block works on what has come so far: a sequence [batch, time, features] or a vector [batch, features]. `BLOCKS` maps a
name to (what it takes, what it gives, a function of the number of features that makes the module). Modules are run in
torch, which says what is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

SEQUENCE, VECTOR = "sequence", "vector"
Forward = Callable[[Any, torch.Tensor], Any]


class Block(nn.Module):
    """A forward of one's own over named parts."""

    def __init__(self, forward: Forward, features: int, **parts: Any) -> None:
        super().__init__()
        self.run, self.features = forward, features
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


Make = Callable[[int], Block]
BLOCKS: dict[str, tuple[str, str, Make]] = {}


def block(takes: str, gives: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        BLOCKS[make.__name__] = takes, gives, make
        return make
    return register


def _simple(name: str, forward: Forward, kinds: tuple[str, ...] = (SEQUENCE, VECTOR)) -> None:
    """A block without parts, for sequences and for vectors."""
    for kind in kinds:
        BLOCKS[f"{name}_{kind}"] = kind, kind, lambda n, forward=forward: Block(forward, n)


for _name, _function in {
    "relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu, "silu": F.silu, "elu": F.elu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "leaky": lambda x: F.leaky_relu(x, 0.2), "selu": F.selu,
    "softplus": lambda x: F.softplus(x, 2.0), "hardswish": F.hardswish, "mish": F.mish, "logsigmoid": F.logsigmoid,
    "clamp": lambda x: x.clamp(-0.5, 0.8), "hardtanh": F.hardtanh, "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1), "scaled": lambda x: (x - 3) / 2, "power": lambda x: x ** 2 - x.abs(),
    "root": lambda x: torch.sqrt(x * x + 1), "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "normalized": lambda x: F.normalize(x, dim=-1), "log1p": lambda x: torch.log1p(x.abs()),
    "mixed": lambda x: x * (x > 0).long() + (x <= 0), "rounded": lambda x: torch.expm1(-x.abs()) + 1.5 * torch.cos(x),
    "standard": lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 0.1),
    "in_place": lambda x: (x * 2).relu_().add_(1), "reversed": lambda x: x.flip(-1),
    "halves": lambda x: torch.cat([part * i for i, part in enumerate(x.split(1, -1), 1)], -1),
}.items():
    _simple(_name, lambda self, x, f=_function: f(x))


@block(SEQUENCE, SEQUENCE)
def lstm(n):
    return Block(lambda s, x: s.rnn(x)[0], 6, rnn=nn.LSTM(n, 6, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def lstm_deep(n):
    return Block(lambda s, x: s.rnn(x)[0], 8, rnn=nn.LSTM(n, 4, 2, bidirectional=True, dropout=0.3, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def lstm_projected(n):
    return Block(lambda s, x: s.rnn(x)[0], 6, rnn=nn.LSTM(n, 5, 2, bidirectional=True, proj_size=3, bias=False,
                                                          batch_first=True))


@block(SEQUENCE, SEQUENCE)
def lstm_time_first(n):
    return Block(lambda s, x: s.rnn(x.transpose(0, 1))[0].transpose(0, 1), 5, rnn=nn.LSTM(n, 5))


@block(SEQUENCE, SEQUENCE)
def lstm_states_of_ones(n):
    def forward(s, x):
        ones = torch.ones(2, x.shape[0], 4)
        return s.rnn(x, (ones.to(x), 2 * ones.to(x)))[0]
    return Block(forward, 8, rnn=nn.LSTM(n, 4, bidirectional=True, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def lstm_states_of_a_linear(n):
    def forward(s, x):
        start = torch.tanh(s.start(x[:, 0])).unsqueeze(0)
        return s.rnn(x, (start, torch.zeros_like(start)))[0]
    return Block(forward, 5, rnn=nn.LSTM(n, 5, batch_first=True), start=nn.Linear(n, 5))


@block(SEQUENCE, SEQUENCE)
def gru(n):
    return Block(lambda s, x: s.rnn(x)[0], 8, rnn=nn.GRU(n, 4, 2, bidirectional=True, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def gru_learned_state(n):
    return Block(lambda s, x: s.rnn(x, s.h.expand(-1, x.shape[0], -1).contiguous())[0], 5,
                 rnn=nn.GRU(n, 5, batch_first=True, bias=False), h=nn.Parameter(torch.randn(1, 1, 5)))


@block(SEQUENCE, SEQUENCE)
def rnn_relu(n):
    return Block(lambda s, x: s.rnn(x)[0], 5, rnn=nn.RNN(n, 5, nonlinearity="relu", batch_first=True))


@block(SEQUENCE, SEQUENCE)
def rnn_backwards(n):
    return Block(lambda s, x: s.rnn(torch.flip(x, [1]))[0].flip(1), 5, rnn=nn.RNN(n, 5, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def encoder_decoder(n):
    def forward(s, x):
        return s.decoder(x, s.encoder(x)[1])[0]
    return Block(forward, 4, encoder=nn.LSTM(n, 4, batch_first=True), decoder=nn.LSTM(n, 4, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def dense(n):
    return Block(lambda s, x: torch.relu(s.fc(x)), 7, fc=nn.Linear(n, 7))


@block(SEQUENCE, SEQUENCE)
def residual(n):
    return Block(lambda s, x: x + s.fc(torch.tanh(x)), n, fc=nn.Linear(n, n))


@block(SEQUENCE, SEQUENCE)
def gated(n):
    return Block(lambda s, x: F.glu(s.fc(x), -1), 5, fc=nn.Linear(n, 10, bias=False))


@block(SEQUENCE, SEQUENCE)
def layer_norm(n):
    return Block(lambda s, x: s.norm(x), n, norm=nn.LayerNorm(n))


@block(SEQUENCE, SEQUENCE)
def layer_norm_plain(n):
    return Block(lambda s, x: s.norm(x), n, norm=nn.LayerNorm(n, elementwise_affine=False))


def _trained(norm: nn.Module) -> nn.Module:
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


@block(SEQUENCE, SEQUENCE)
def batch_norm(n):
    return Block(lambda s, x: s.norm(x.transpose(1, 2)).transpose(1, 2), n, norm=_trained(nn.BatchNorm1d(n)))


@block(SEQUENCE, SEQUENCE)
def convolution(n):
    return Block(lambda s, x: s.conv(x.permute(0, 2, 1)).permute(0, 2, 1), 6, conv=nn.Conv1d(n, 6, 3, padding="same"))


@block(SEQUENCE, SEQUENCE)
def attention(n):
    def forward(s, x):
        q, k, v = s.qkv(x).chunk(3, -1)
        return torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v
    return Block(forward, 4, qkv=nn.Linear(n, 12))


@block(SEQUENCE, SEQUENCE)
def heads(n):
    def forward(s, x):
        b, t, _ = x.shape
        y = s.fc(x).view(b, t, 2, 3).permute(0, 2, 1, 3)
        return y.reshape(b, 2, t, 3).transpose(1, 2).flatten(2)
    return Block(forward, 6, fc=nn.Linear(n, 6))


@block(SEQUENCE, SEQUENCE)
def mean_beside(n):
    return Block(lambda s, x: torch.cat([x, x.mean(1, keepdim=True).expand_as(x)], -1), 2 * n)


@block(SEQUENCE, SEQUENCE)
def last_beside(n):
    return Block(lambda s, x: torch.cat([x[:, -1:].repeat(1, x.shape[1], 1), x], 2), 2 * n)


@block(SEQUENCE, SEQUENCE)
def summed(n):
    return Block(lambda s, x: x.cumsum(1) / x.size(1), n)


@block(SEQUENCE, SEQUENCE)
def positions(n):
    return Block(lambda s, x: x + torch.arange(x.shape[1], device=x.device).unsqueeze(-1) * 0.1, n)


@block(SEQUENCE, SEQUENCE)
def shifted(n):
    return Block(lambda s, x: torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1), n)


@block(SEQUENCE, SEQUENCE)
def causal(n):
    def forward(s, x):
        t = x.shape[1]
        scores = (x @ x.transpose(1, 2)).masked_fill(torch.ones(t, t).triu(1).bool(), float("-inf"))
        return torch.softmax(scores, -1) @ x
    return Block(forward, n)


@block(SEQUENCE, SEQUENCE)
def dropped(n):
    return Block(lambda s, x: s.drop(x), n, drop=nn.Dropout(0.4))


@block(SEQUENCE, SEQUENCE)
def modules(n):
    return Block(lambda s, x: s.parts(x), 5, parts=nn.Sequential(nn.Linear(n, 6), nn.ReLU(inplace=True), nn.Dropout(),
                                                               nn.Linear(6, 5), nn.Sigmoid()))


@block(SEQUENCE, SEQUENCE)
def einsum(n):
    return Block(lambda s, x: torch.einsum("btf,fg->btg", x, s.w), 4, w=nn.Parameter(torch.randn(n, 4)))


@block(SEQUENCE, VECTOR)
def last_step(n):
    return Block(lambda s, x: x[:, -1], n)


@block(SEQUENCE, VECTOR)
def first_step(n):
    return Block(lambda s, x: x.select(1, 0), n)


@block(SEQUENCE, VECTOR)
def mean(n):
    return Block(lambda s, x: x.mean(1), n)


@block(SEQUENCE, VECTOR)
def maximum(n):
    return Block(lambda s, x: x.max(1).values, n)


@block(SEQUENCE, VECTOR)
def extremes(n):
    return Block(lambda s, x: torch.cat([x.amax(1), x.amin(dim=1), x.std(1, unbiased=False)], 1), 3 * n)


@block(SEQUENCE, VECTOR)
def log_sum(n):
    return Block(lambda s, x: torch.logsumexp(x, 1) - x.norm(dim=1), n)


@block(SEQUENCE, VECTOR)
def pooled(n):
    return Block(lambda s, x: s.pool(x.transpose(1, 2)).squeeze(-1), n, pool=nn.AdaptiveAvgPool1d(1))


@block(SEQUENCE, VECTOR)
def weighted(n):
    def forward(s, x):
        weights = torch.softmax(s.score(torch.tanh(x)).squeeze(-1), 1)
        return torch.bmm(weights.unsqueeze(1), x)[:, 0]
    return Block(forward, n, score=nn.Linear(n, 1))


@block(SEQUENCE, VECTOR)
def both_states(n):
    def forward(s, x):
        h = s.rnn(x)[1][0]
        return torch.cat((h[0], h[1]), 1)
    return Block(forward, 8, rnn=nn.LSTM(n, 4, bidirectional=True, batch_first=True))


@block(SEQUENCE, VECTOR)
def layers_of_states(n):
    def forward(s, x):
        h = s.rnn(x)[1]
        return h.view(2, 2, x.shape[0], 3)[-1].transpose(0, 1).reshape(x.shape[0], -1)
    return Block(forward, 6, rnn=nn.GRU(n, 3, 2, bidirectional=True, batch_first=True))


@block(SEQUENCE, VECTOR)
def cell_state(n):
    return Block(lambda s, x: s.rnn(x)[1][1][-1], 5, rnn=nn.LSTM(n, 5, 2, batch_first=True))


@block(SEQUENCE, VECTOR)
def picked(n):
    return Block(lambda s, x: x[torch.arange(x.shape[0]), x[:, :, 0].argmax(1)], n)


@block(SEQUENCE, VECTOR)
def counted(n):
    def forward(s, x):
        mask = (x[..., 0] > 0).unsqueeze(-1)
        return (x * mask).sum(1) / mask.sum(1).clamp(min=1)
    return Block(forward, n)


@block(VECTOR, VECTOR)
def head(n):
    return Block(lambda s, x: s.fc(x), 4, fc=nn.Linear(n, 4))


@block(VECTOR, VECTOR)
def deep_head(n):
    return Block(lambda s, x: s.parts(x), 3, parts=nn.Sequential(nn.Linear(n, 8), nn.BatchNorm1d(8), nn.Tanh(),
                                                               nn.Linear(8, 3), nn.LogSoftmax(1)))


@block(VECTOR, VECTOR)
def vector_residual(n):
    return Block(lambda s, x: x + s.fc(x).sigmoid() * x.mean(1, keepdim=True), n, fc=nn.Linear(n, n))


@block(VECTOR, VECTOR)
def vector_norm(n):
    return Block(lambda s, x: s.norm(x), n, norm=_trained(nn.BatchNorm1d(n)))


@block(VECTOR, VECTOR)
def gru_cell(n):
    return Block(lambda s, x: s.cell(x, torch.tanh(s.start(x))), 4, cell=nn.GRUCell(n, 4), start=nn.Linear(n, 4))


@block(VECTOR, VECTOR)
def lstm_cell(n):
    def forward(s, x):
        h, c = s.cell(x)
        h, c = s.cell(x, (h, c))
        return torch.cat([h, c], -1)
    return Block(forward, 6, cell=nn.LSTMCell(n, 3))


@block(VECTOR, VECTOR)
def relu_cell(n):
    return Block(lambda s, x: s.cell(x), 4, cell=nn.RNNCell(n, 4, nonlinearity="relu"))


@block(VECTOR, VECTOR)
def outer(n):
    return Block(lambda s, x: (x.unsqueeze(2) * s.w).sum(1), 3, w=nn.Parameter(torch.randn(n, 3)))


@block(VECTOR, VECTOR)
def sorted_numbers(n):
    return Block(lambda s, x: torch.cat([x.topk(min(2, n), -1).values, x.unbind(1)[0].unsqueeze(1)], 1), min(2, n) + 1)


@block(VECTOR, VECTOR)
def own_gates(n):
    def forward(s, x):
        i, f, g = (x @ s.w.t() + s.b).chunk(3, 1)
        return torch.sigmoid(f) * i + torch.sigmoid(i) * torch.tanh(g)
    return Block(forward, 3, w=nn.Parameter(torch.randn(9, n)), b=nn.Parameter(torch.randn(9)))
