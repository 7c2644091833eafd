"""Series of numbers: forecasters, densities, autoencoders, policies."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, weight_norm
from torch_families import FEATURES, HIDDEN, family, series


@family(series)
class ScaledForecaster(nn.Module):
    """Scaling inside: buffers on the way in, undone on the way out."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.randn(FEATURES))
        self.register_buffer("scale", torch.rand(FEATURES) + 0.5)
        self.lstm, self.fc = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 3)

    def forward(self, x):
        y, _ = self.lstm((x - self.mean) / self.scale)
        return self.fc(y[:, -1, :]) * self.scale[0] + self.mean[0]


@family(series)
class ReversibleInstanceNorm(nn.Module):
    """RevIN: each row by its own mean and standard deviation over time, given back at the end."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(FEATURES) + 0.5), nn.Parameter(torch.randn(FEATURES))
        self.rnn, self.fc = nn.GRU(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN, FEATURES)

    def forward(self, x):
        mean = torch.mean(x, dim=1, keepdim=True).detach()
        std = torch.sqrt(torch.var(x, dim=1, keepdim=True, unbiased=False) + 1e-5).detach()
        y = self.fc(self.rnn((x - mean) / std * self.weight + self.bias)[0][:, -1:])
        return (y - self.bias) / (self.weight + 1e-8) * std + mean


@family(lambda rows, steps: (torch.randn(rows, steps, FEATURES), torch.randn(rows, 4, 2)))
class ExogenousSeq2Seq(nn.Module):
    """What is known of the future goes to a decoder that also reads its own last forecast."""

    def __init__(self):
        super().__init__()
        self.encoder, self.cell = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.LSTMCell(3, HIDDEN)
        self.fc = nn.Linear(HIDDEN, 1)

    def forward(self, past, future):
        _, (h, c) = self.encoder(past)
        h, c, y, made = h[0], c[0], past[:, -1, :1], []
        for t in range(future.shape[1]):
            h, c = self.cell(torch.cat([y, future[:, t]], 1), (h, c))
            y = y + self.fc(h)
            made.append(y)
        return torch.cat(made, 1)


@family(lambda rows, steps: (torch.randn(rows, steps, FEATURES), torch.randn(rows, 3), torch.randint(0, 7, (rows,))))
class StaticAndSequence(nn.Module):
    """Static numbers and a category beside a sequence: the first state comes of them."""

    def __init__(self):
        super().__init__()
        self.category, self.start = nn.Embedding(7, 2), nn.Linear(5, 2 * HIDDEN)
        self.lstm, self.fc = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN + 5, 2)

    def forward(self, x, numbers, kind):
        static = torch.cat([numbers, self.category(kind)], dim=1)
        h0, c0 = self.start(static).unsqueeze(0).chunk(2, dim=-1)
        y, _ = self.lstm(x, (h0.contiguous(), c0.contiguous()))
        repeated = static.unsqueeze(1).repeat(1, x.size(1), 1)
        return self.fc(torch.cat([y, repeated], -1))


@family(series)
class MixtureDensity(nn.Module):
    """Bishop 1994: logits, means and widths of three normal distributions a step."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 9)

    def forward(self, x):
        pi, mu, sigma = torch.split(self.fc(self.lstm(x)[0]), 3, dim=-1)
        pi, sigma = F.softmax(pi, -1), F.softplus(sigma) + 1e-4
        mean = torch.sum(pi * mu, dim=-1)
        log = -0.5 * (mu / sigma).pow(2) - torch.log(sigma) - 0.5 * math.log(2 * math.pi)
        return {"pi": pi, "mu": mu, "sigma": sigma, "mean": mean, "log": torch.logsumexp(torch.log(pi) + log, -1)}


@family(lambda rows, steps: (torch.rand(rows, steps) + 0.1, torch.randn(rows, steps, 2), torch.randint(0, 4, (rows,))))
class DeepAR(nn.Module):
    """Salinas et al. 2017: a row is scaled by its own mean; the mean and width of each next value."""

    def __init__(self):
        super().__init__()
        self.item, self.lstm = nn.Embedding(4, 2), nn.LSTM(5, HIDDEN, 2, batch_first=True, dropout=0.1)
        self.mu, self.sigma = nn.Linear(2 * HIDDEN, 1), nn.Linear(2 * HIDDEN, 1)

    def forward(self, target, covariates, item):
        scale = 1 + target.abs().mean(dim=1, keepdim=True)
        lagged = torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1) / scale
        static = self.item(item).unsqueeze(1).expand(-1, target.size(1), -1)
        y, (h, _) = self.lstm(torch.cat([lagged.unsqueeze(-1), covariates, static], -1))
        both = torch.cat([y, h[-1].unsqueeze(1).expand_as(y)], -1)
        mu, sigma = self.mu(both).squeeze(-1), F.softplus(self.sigma(both)).squeeze(-1)
        return mu * scale, sigma * scale


@family(series)
class LSTMVAE(nn.Module):
    """In eval mode the code is the mean; no number is drawn."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.mu, self.logvar = nn.Linear(HIDDEN, 3), nn.Linear(HIDDEN, 3)
        self.decoder, self.fc = nn.LSTM(3, HIDDEN, batch_first=True), nn.Linear(HIDDEN, FEATURES)

    def forward(self, x):
        h = self.encoder(x)[1][0].squeeze(0)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) if self.training else mu
        y, _ = self.decoder(z.unsqueeze(1).repeat(1, x.shape[1], 1))
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
        return self.fc(y), mu, logvar, kl


@family(series)
class LSTMAutoencoder(nn.Module):
    """Srivastava et al. 2015: the sequence again, backwards, and how far off it is."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.LSTM(HIDDEN, FEATURES,
                                                                                            batch_first=True)

    def forward(self, x):
        _, (h, _) = self.encoder(x)
        y, _ = self.decoder(h.permute(1, 0, 2).expand(-1, x.size(1), -1))
        y = torch.flip(y, dims=[1])
        return y, ((y - x) ** 2).mean(dim=(1, 2)), F.mse_loss(y, x, reduction="none").amax(-1)


@family(lambda rows, steps: (torch.randn(rows, FEATURES), (torch.randn(rows, HIDDEN), torch.randn(rows, HIDDEN)),
                             torch.randint(0, 2, (rows, 1)).float()))
class ActorCritic(nn.Module):
    """One step of a policy with its state; a row whose episode is over begins again."""

    def __init__(self):
        super().__init__()
        self.body, self.cell = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh()), nn.LSTMCell(8, HIDDEN)
        self.actor, self.critic = nn.Linear(HIDDEN, 4), nn.Linear(HIDDEN, 1)

    def forward(self, observation, state, done):
        h, c = (s * (1 - done) for s in state)
        h, c = self.cell(self.body(observation), (h, c))
        logits = self.actor(h)
        log = logits - logits.logsumexp(dim=-1, keepdim=True)
        entropy = -(log.exp() * log).sum(-1)
        return logits.argmax(-1), log, entropy, self.critic(h).squeeze(-1), (h, c)


class GatedResidual(nn.Module):
    """The gated residual network of the temporal fusion transformer."""

    def __init__(self, size, context=None):
        super().__init__()
        self.fc1, self.fc2, self.gate = nn.Linear(size, 7), nn.Linear(7, size), nn.Linear(size, 2 * size)
        self.context = None if context is None else nn.Linear(context, 7, bias=False)
        self.norm = nn.LayerNorm(size)

    def forward(self, x, context=None):
        z = self.fc1(x)
        if context is not None:
            z = z + self.context(context)
        return self.norm(x + F.glu(self.gate(self.fc2(F.elu(z))), dim=-1))


@family(lambda rows, steps: (torch.randn(rows, steps, 3), torch.randn(rows, 4)))
class TemporalFusion(nn.Module):
    """Lim et al. 2019: variable selection, an LSTM between gated residuals, causal attention over the steps."""

    def __init__(self):
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(1, HIDDEN) for _ in range(3))
        self.grns = nn.ModuleList(GatedResidual(HIDDEN) for _ in range(3))
        self.select = nn.Linear(3 * HIDDEN, 3)
        self.enrich, self.static = GatedResidual(HIDDEN, 4), nn.Linear(4, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.q, self.k, self.v = (nn.Linear(HIDDEN, HIDDEN) for _ in range(3))
        self.fc = nn.Linear(HIDDEN, 3)

    def forward(self, x, static):
        parts = [embed(x[..., i:i + 1]) for i, embed in enumerate(self.embed)]
        weights = torch.softmax(self.select(torch.cat(parts, -1)), -1).unsqueeze(-2)
        z = torch.stack([grn(part) for grn, part in zip(self.grns, parts)], dim=-1)
        z = (z * weights).sum(-1)
        start = torch.tanh(self.static(static)).unsqueeze(0)
        y, _ = self.lstm(z, (start, start))
        y = self.enrich(y + z, static.unsqueeze(1))
        scores = self.q(y) @ self.k(y).transpose(-2, -1) / math.sqrt(HIDDEN)
        mask = torch.triu(torch.ones(x.size(1), x.size(1), dtype=torch.bool), diagonal=1)
        attended = torch.softmax(scores.masked_fill(mask, -1e9), -1) @ self.v(y)
        return self.fc(attended + y), weights.squeeze(-2)


@family(lambda rows, steps: (torch.randn(rows, 12),))
class NBeats(nn.Module):
    """Oreshkin et al. 2019: stacks that forecast and take away what they explain."""

    def __init__(self):
        super().__init__()
        self.stacks = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
                                                  nn.Linear(16, 5)) for _ in range(3))
        grid = torch.arange(12) / 12
        self.register_buffer("back", torch.stack([grid ** i for i in range(5)]))
        self.register_buffer("ahead", torch.stack([(torch.arange(4) / 4 + 1) ** i for i in range(5)]))

    def forward(self, x):
        residual, forecast = x.flip(dims=(1,)), x[:, -1:]
        for stack in self.stacks:
            theta = stack(residual)
            residual = residual - torch.einsum("bp,pt->bt", theta, self.back)
            forecast = forecast + torch.einsum("bp,pt->bt", theta, self.ahead)
        return forecast


@family(series)
class MultiHeadDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, 2, batch_first=True)
        self.heads = nn.ModuleDict({"mean": nn.Linear(HIDDEN, 1), "classes": nn.Linear(HIDDEN, 3),
                                    "quantiles": nn.Linear(HIDDEN, 4)})

    def forward(self, x):
        y, h = self.gru(x)
        made = {name: head(h[-1]) for name, head in self.heads.items()}
        made["quantiles"] = torch.sort(made["quantiles"], dim=-1).values
        made["increments"] = torch.cumsum(F.softplus(y), dim=1)
        return made


@family(series)
class NormalisedAndPruned(nn.Module):
    """weight_norm old and new, spectral norm, orthogonal weights, and weights that were pruned."""

    def __init__(self):
        super().__init__()
        self.old = weight_norm(nn.Linear(FEATURES, 7))
        self.new = parametrizations.weight_norm(nn.Conv1d(7, 6, 3, padding=1))
        self.spectral = parametrizations.spectral_norm(nn.Linear(6, 6))
        self.square = parametrizations.orthogonal(nn.Linear(6, 6))
        self.lstm, self.fc = nn.LSTM(6, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2)
        prune.l1_unstructured(self.fc, "weight", amount=0.4)
        prune.random_unstructured(self.lstm, "weight_hh_l0", amount=0.3)

    def forward(self, x):
        z = self.new(torch.tanh(self.old(x)).transpose(1, 2)).transpose(1, 2)
        return self.fc(self.lstm(self.square(F.relu(self.spectral(z))))[0])


@family(series)
class ProjectedLSTM(nn.Module):
    """Sak et al. 2014: proj_size, both directions, two layers."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, 8, 2, bidirectional=True, proj_size=3, batch_first=True)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return y, h, c


@family(series)
class TemporalAttention(nn.Module):
    """Qin et al. 2017, its second stage: which steps matter, with the state of a cell, over a window of 4."""

    def __init__(self):
        super().__init__()
        self.encoder, self.cell = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.LSTMCell(HIDDEN, HIDDEN)
        self.attend = nn.Sequential(nn.Linear(3 * HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
        self.fc = nn.Linear(2 * HIDDEN, 1)

    def forward(self, x):
        memory, _ = self.encoder(x)
        h, c = x.new_zeros(x.size(0), HIDDEN), x.new_zeros(x.size(0), HIDDEN)
        for _ in range(4):
            state = torch.cat([h, c], dim=1).unsqueeze(1).expand(-1, x.size(1), -1)
            beta = F.softmax(self.attend(torch.cat((state, memory), dim=2)).squeeze(2), dim=1)
            context = torch.einsum("bt,bth->bh", beta, memory)
            h, c = self.cell(context, (h, c))
        return self.fc(torch.cat([h, context], 1)), beta


@family(series)
class Prenet(nn.Module):
    """Tacotron's prenet, highway layers and a bidirectional GRU (the second half of its CBHG)."""

    def __init__(self):
        super().__init__()
        self.prenet = nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 6), nn.ReLU(),
                                    nn.Dropout(0.5))
        self.h = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.t = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.gru = nn.GRU(6, HIDDEN, bidirectional=True, batch_first=True)

    def forward(self, x):
        z = self.prenet(x)
        for h, t in zip(self.h, self.t):
            gate = torch.sigmoid(t(z))
            z = gate * F.relu(h(z)) + (1.0 - gate) * z
        return self.gru(z)[0]
