"""Cells and recurrences written out: a loop over the steps, which torch unrolls, or a scan by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch_families import FEATURES, HIDDEN, family


def few(rows, steps):
    """A loop over the steps is traced as often as the example has steps, so these have always the same."""
    return (torch.randn(rows, 5, FEATURES),)


class Loop(nn.Module):
    """Runs `step(x_t, state)` over [batch, time, features]; the states of all steps, [batch, time, hidden]."""

    def forward(self, x):
        h, made = torch.zeros(x.size(0), HIDDEN), []
        for t in range(x.size(1)):
            h = self.step(x[:, t], h)
            made.append(h)
        return torch.stack(made, dim=1)


@family(few)
class LSTMCellLoop(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.fc = nn.LSTMCell(FEATURES, HIDDEN), nn.LSTMCell(HIDDEN, 4), nn.Linear(4, 2)

    def forward(self, x):
        h1, c1 = torch.zeros(x.size(0), HIDDEN), torch.zeros(x.size(0), HIDDEN)
        h2 = c2 = x.new_zeros(x.size(0), 4)
        made = []
        for step in x.unbind(1):
            h1, c1 = self.first(step, (h1, c1))
            h2, c2 = self.second(h1, (h2, c2))
            made += [self.fc(h2)]
        return torch.cat(made, dim=1)


@family(few)
class GRUCellLoop(Loop):
    def __init__(self):
        super().__init__()
        self.step = nn.GRUCell(FEATURES, HIDDEN)


@family(few)
class RNNCellLoop(Loop):
    def __init__(self):
        super().__init__()
        self.step = nn.RNNCell(FEATURES, HIDDEN, nonlinearity="relu")


@family(few)
class LayerNormLSTM(nn.Module):
    """Ba et al. 2016: layer norm of both products and of the cell."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(FEATURES, 4 * HIDDEN), nn.Linear(HIDDEN, 4 * HIDDEN, bias=False)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * HIDDEN), nn.LayerNorm(4 * HIDDEN)
        self.norm_c = nn.LayerNorm(HIDDEN)

    def forward(self, x):
        h = c = torch.zeros(x.size(0), HIDDEN)
        made = []
        for t in range(x.size(1)):
            i, f, g, o = (self.norm_x(self.x(x[:, t])) + self.norm_h(self.h(h))).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            made.append(h)
        return torch.stack(made, 1), (h, c)


@family(few)
class PeepholeLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(FEATURES + HIDDEN, 4 * HIDDEN)
        self.wi, self.wf, self.wo = (nn.Parameter(torch.randn(HIDDEN)) for _ in range(3))

    def forward(self, x):
        h, c = torch.zeros(x.size(0), HIDDEN), torch.zeros(x.size(0), HIDDEN)
        for t in range(x.size(1)):
            i, f, g, o = torch.split(self.gates(torch.cat([x[:, t], h], 1)), HIDDEN, dim=1)
            i, f = torch.sigmoid(i + self.wi * c), torch.sigmoid(f + self.wf * c)
            c = torch.addcmul(f * c, i, g.tanh())
            h = torch.sigmoid(o + self.wo * c) * torch.tanh(c)
        return h


@family(few)
class MinimalGatedUnit(Loop):
    """Zhou et al. 2016."""

    def __init__(self):
        super().__init__()
        self.f, self.h = nn.Linear(FEATURES + HIDDEN, HIDDEN), nn.Linear(FEATURES + HIDDEN, HIDDEN)

    def step(self, x, h):
        f = torch.sigmoid(self.f(torch.cat((x, h), dim=1)))
        return torch.lerp(h, torch.tanh(self.h(torch.cat((x, f * h), dim=1))), f)


@family(few)
class IndRNN(Loop):
    """Li et al. 2018: each unit hears itself alone."""

    def __init__(self):
        super().__init__()
        self.x, self.u = nn.Linear(FEATURES, HIDDEN), nn.Parameter(torch.rand(HIDDEN))

    def step(self, x, h):
        return F.relu(self.x(x) + self.u * h)


@family(few)
class SRU(nn.Module):
    """Lei et al. 2018: every product ahead of time, the loop element by element."""

    def __init__(self):
        super().__init__()
        self.w, self.skip = nn.Linear(FEATURES, 3 * HIDDEN, bias=False), nn.Linear(FEATURES, HIDDEN, bias=False)
        self.v, self.b = nn.Parameter(torch.randn(2, HIDDEN)), nn.Parameter(torch.randn(2, HIDDEN))

    def forward(self, x):
        u, f, r = self.w(x).tensor_split(3, dim=-1)
        skip, c, made = self.skip(x), x.new_zeros((x.shape[0], HIDDEN)), []
        for t in range(x.shape[1]):
            forget = torch.sigmoid(f[:, t] + self.v[0] * c + self.b[0])
            reset = torch.sigmoid(r[:, t] + self.v[1] * c + self.b[1])
            c = forget * c + (1 - forget) * u[:, t]
            made.append(reset * c + (1 - reset) * skip[:, t])
        return torch.stack(made, 1)


@family(few)
class QRNN(nn.Module):
    """Bradbury et al. 2016: gates by a causal convolution, fo-pooling after."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, 3 * HIDDEN, 2)

    def forward(self, x):
        z, f, o = self.conv(F.pad(x.transpose(1, 2), (1, 0))).chunk(3, dim=1)
        z, f, o = torch.tanh(z), torch.sigmoid(f), torch.sigmoid(o)
        c, made = torch.zeros_like(z[:, :, 0]), []
        for t in range(z.size(2)):
            c = f[:, :, t] * c + (1 - f[:, :, t]) * z[:, :, t]
            made.append(o[:, :, t] * c)
        return torch.stack(made, dim=-1).permute(0, 2, 1)


@family(lambda rows, steps: (torch.randn(rows, 5, FEATURES), torch.randint(0, 2, (rows, 5, FEATURES)).float(),
                             torch.rand(rows, 5, FEATURES)))
class GRUD(nn.Module):
    """Che et al. 2018: missing values decay to their mean, states decay with the time since."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.randn(FEATURES))
        self.gamma_x, self.gamma_h = nn.Parameter(torch.rand(FEATURES)), nn.Linear(FEATURES, HIDDEN)
        self.cell, self.fc = nn.GRUCell(2 * FEATURES, HIDDEN), nn.Linear(HIDDEN, 2)

    def forward(self, x, m, delta):
        h, last, made = torch.zeros(x.size(0), HIDDEN), self.mean.expand(x.size(0), -1), []
        for t in range(x.size(1)):
            last = torch.where(m[:, t] > 0.5, x[:, t], last)
            gamma = torch.exp(-torch.clamp(self.gamma_x * delta[:, t], min=0))
            filled = m[:, t] * x[:, t] + (1 - m[:, t]) * (gamma * last + (1 - gamma) * self.mean)
            h = torch.exp(-torch.maximum(torch.zeros_like(h), self.gamma_h(delta[:, t]))) * h
            h = self.cell(torch.cat([filled, m[:, t]], 1), h)
            made.append(self.fc(h))
        return torch.stack(made, 1)


@family(lambda rows, steps: (torch.randn(rows, steps, FEATURES), torch.randn(HIDDEN)))
class LinearRecurrence(nn.Module):
    """An exponential average of every step without a loop, by powers and a cumulated sum; open in time."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(FEATURES, HIDDEN)

    def forward(self, x, decay):
        a = torch.sigmoid(decay) * 0.5 + 0.5
        t = torch.arange(x.size(1), dtype=x.dtype).view(1, -1, 1)
        return torch.cumsum(self.inner(x) * torch.pow(a, -t), dim=1) * torch.pow(a, t)


@family(lambda rows, steps: (torch.randn(rows, 4, 2, 6, 5),))
class ConvLSTM(nn.Module):
    """Shi et al. 2015: the products are convolutions."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(2 + 3, 12, 3, padding=1), nn.Conv2d(3, 1, 1)

    def forward(self, x):
        b, t, _, height, width = x.shape
        h = c = torch.zeros(b, 3, height, width)
        for step in range(t):
            i, f, o, g = torch.split(self.conv(torch.cat([x[:, step], h], dim=1)), 3, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h), h


@family(lambda rows, steps: (torch.randn(rows, 4, 2, 6, 5),))
class ConvGRU(nn.Module):
    """Ballas et al. 2016."""

    def __init__(self):
        super().__init__()
        self.gates, self.new = nn.Conv2d(5, 6, 3, padding=1), nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 3, x.size(3), x.size(4))
        for t in range(x.size(1)):
            z, r = torch.sigmoid(self.gates(torch.cat([x[:, t], h], 1))).chunk(2, 1)
            h = (1 - z) * h + z * torch.tanh(self.new(torch.cat([x[:, t], r * h], 1)))
        return h.mean(dim=(2, 3))
