"""Encoders and decoders: translators, attention, transformers beside recurrent layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_families import FEATURES, HIDDEN, VOCABULARY, family, lengths_of, series, tokens


def pairs(rows, steps):
    return torch.randint(1, VOCABULARY, (rows, steps)), lengths_of(rows, steps), torch.randint(1, VOCABULARY, (rows, 5))


@family(pairs)
class LuongTranslator(nn.Module):
    """Luong et al. 2015, "general" scores over a packed source, all target steps at once."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(VOCABULARY, FEATURES), nn.Embedding(VOCABULARY, FEATURES)
        self.encoder = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.decoder = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.score, self.join = nn.Linear(HIDDEN, HIDDEN, bias=False), nn.Linear(2 * HIDDEN, HIDDEN)
        self.fc = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, src, src_lengths, tgt):
        packed = pack_padded_sequence(self.source(src), src_lengths, batch_first=True, enforce_sorted=False)
        memory, state = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=src.size(1))
        y, _ = self.decoder(self.target(tgt), state)
        scores = torch.bmm(y, self.score(memory).transpose(1, 2))
        mask = torch.arange(src.size(1))[None, :] >= src_lengths[:, None]
        weights = F.softmax(scores.masked_fill(mask.unsqueeze(1), float("-inf")), dim=-1)
        context = torch.bmm(weights, memory)
        return self.fc(torch.tanh(self.join(torch.cat([context, y], -1)))), weights


@family(pairs)
class BahdanauTranslator(nn.Module):
    """Bahdanau et al. 2015: one target step after the other, a cell over the context."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(VOCABULARY, FEATURES), nn.Embedding(VOCABULARY, FEATURES)
        self.encoder = nn.GRU(FEATURES, HIDDEN, bidirectional=True, batch_first=True)
        self.bridge = nn.Linear(2 * HIDDEN, HIDDEN)
        self.query, self.key = nn.Linear(HIDDEN, 7), nn.Linear(2 * HIDDEN, 7)
        self.energy = nn.Linear(7, 1, bias=False)
        self.cell = nn.GRUCell(FEATURES + 2 * HIDDEN, HIDDEN)
        self.fc = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, src, src_lengths, tgt):
        packed = pack_padded_sequence(self.source(src), src_lengths.cpu(), batch_first=True, enforce_sorted=False)
        memory, h = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=src.shape[1])
        h = torch.tanh(self.bridge(torch.cat((h[-2], h[-1]), dim=1)))
        mask = torch.arange(src.shape[1]).unsqueeze(0) < src_lengths.unsqueeze(1)
        keys, outputs = self.key(memory), []
        for t in range(tgt.size(1)):
            e = self.energy(torch.tanh(self.query(h).unsqueeze(1) + keys)).squeeze(-1)
            alpha = torch.softmax(e.masked_fill(mask == 0, -1e10), dim=1)
            context = torch.bmm(alpha.unsqueeze(1), memory).squeeze(1)
            h = self.cell(torch.cat((self.target(tgt[:, t]), context), 1), h)
            outputs.append(self.fc(h))
        return torch.stack(outputs, 1)


@family(lambda rows, steps: (torch.randint(1, VOCABULARY, (rows, steps)),))
class GreedySeq2Seq(nn.Module):
    """The decoder feeds its own best token back, five times."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.encoder, self.decoder = nn.GRU(FEATURES, HIDDEN, batch_first=True), nn.GRU(FEATURES, HIDDEN,
                                                                                          batch_first=True)
        self.fc = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, src):
        _, h = self.encoder(self.embedding(src))
        token = torch.full((src.size(0), 1), 2, dtype=torch.long, device=src.device)
        made, logits = [], []
        for _ in range(5):
            y, h = self.decoder(F.relu(self.embedding(token)), h)
            step = self.fc(y.squeeze(1))
            token = step.topk(1)[1].detach()
            made.append(token)
            logits.append(step)
        return torch.cat(made, 1), torch.stack(logits, 1)


@family(series)
class SelfAttentionLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.attention = nn.MultiheadAttention(HIDDEN, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, 2)

    def forward(self, x):
        y, _ = self.lstm(x)
        z, weights = self.attention(y, y, y)
        return self.fc(self.norm(y + z).mean(1)), weights


def masked_series(rows, steps):
    return torch.randn(rows, steps, FEATURES), torch.arange(steps)[None, :] >= lengths_of(rows, steps)[:, None]


@family(masked_series)
class TransformerLSTM(nn.Module):
    """Transformer encoder layers with a key padding mask, a causal one, then an LSTM."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(FEATURES, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.lstm, self.fc = nn.LSTM(8, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2)

    def forward(self, x, padding):
        causal = nn.Transformer.generate_square_subsequent_mask(x.size(1), device=x.device)
        padded = torch.zeros(padding.shape).masked_fill(padding, -1e9)
        y = self.encoder(self.project(x), mask=causal, src_key_padding_mask=padded)
        return self.fc(self.lstm(y)[0])


@family(tokens)
class PositionalTransformer(nn.Module):
    """The transformer tutorial: sine positions as a buffer, the encoder time first."""

    def __init__(self):
        super().__init__()
        position, div = torch.arange(50).unsqueeze(1), torch.exp(torch.arange(0, 8, 2) * (-4.6 / 8))
        table = torch.zeros(50, 1, 8)
        table[:, 0, 0::2], table[:, 0, 1::2] = torch.sin(position * div), torch.cos(position * div)
        self.register_buffer("table", table)
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False)
        self.gru, self.fc = nn.GRU(8, HIDDEN), nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, x):
        y = self.embedding(x).transpose(0, 1) * 8 ** 0.5
        y = y + self.table[:y.size(0)]
        return self.fc(self.gru(self.encoder(y))[0]).transpose(0, 1)


@family(lambda rows, steps: (torch.randn(rows, steps, FEATURES), torch.randn(rows, 4, FEATURES)))
class PointerAttention(nn.Module):
    """Vinyals et al. 2015: a distribution over the steps of the input, and where it is greatest."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.LSTM(FEATURES, HIDDEN,
                                                                                            batch_first=True)
        self.w1, self.w2 = nn.Linear(HIDDEN, 5, bias=False), nn.Linear(HIDDEN, 5, bias=False)
        self.v = nn.Parameter(torch.randn(5))

    def forward(self, x, queries):
        memory, state = self.encoder(x)
        y, _ = self.decoder(queries, state)
        u = torch.tanh(self.w1(memory).unsqueeze(1) + self.w2(y).unsqueeze(2))
        log = F.log_softmax(torch.einsum("bqth,h->bqt", u, self.v), dim=-1)
        return log, log.argmax(dim=-1)


class Memory(NamedTuple):
    keys: torch.Tensor
    state: torch.Tensor


@family(lambda rows, steps: ({"tokens": torch.randint(1, VOCABULARY, (rows, steps)),
                              "extra": torch.randn(rows, 3)},
                             Memory(torch.randn(rows, 4, HIDDEN), torch.randn(1, rows, HIDDEN))))
class NestedInputs(nn.Module):
    """A dict and a named tuple in, a dict out."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.gru, self.fc = nn.GRU(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN + 3, 2)

    def forward(self, batch, memory):
        y, h = self.gru(self.embedding(batch["tokens"]), memory.state)
        scores = torch.matmul(y, memory.keys.transpose(-2, -1)) / HIDDEN ** 0.5
        context = torch.matmul(scores.softmax(-1), memory.keys)
        return {"logits": self.fc(torch.cat([context.mean(1), batch["extra"]], -1)), "state": h, "scores": scores}


@family(lambda rows, steps: (torch.randint(1, VOCABULARY, (rows, 5)), torch.randn(rows, steps, HIDDEN)))
class CopyGenerator(nn.Module):
    """See et al. 2017, pointer-generator: attention scattered over the vocabulary."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(VOCABULARY, FEATURES), nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.vocabulary, self.gate = nn.Linear(HIDDEN, VOCABULARY), nn.Linear(HIDDEN, 1)

    def forward(self, src, queries):
        y, _ = self.rnn(self.embedding(src))
        attention = torch.softmax(queries @ y.transpose(1, 2), -1)
        p = torch.sigmoid(self.gate(queries))
        spread = src.unsqueeze(1).expand(-1, queries.size(1), -1)
        copied = torch.zeros(queries.size(0), queries.size(1), VOCABULARY).scatter_add(2, spread, attention)
        return p * torch.softmax(self.vocabulary(queries), -1) + (1 - p) * copied
