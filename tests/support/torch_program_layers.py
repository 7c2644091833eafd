"""More building blocks for tests/support/torch_programs.py: layers that torch makes of several operators."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch_programs import SEQUENCE, Block, block


@block(SEQUENCE, SEQUENCE)
def rows_of_steps(n):
    """Each step as a row of its own, for layers that take [rows, features, 1], as characters of words have it."""
    def forward(s, x):
        b, t, f = x.shape
        return F.relu(s.conv(x.reshape(-1, f).unsqueeze(1))).amax(2).view(b, t, -1)
    return Block(forward, 4, conv=nn.Conv1d(1, 4, 2, padding=1))


@block(SEQUENCE, SEQUENCE)
def weight_normed(n):
    normed = nn.utils.parametrizations.weight_norm
    fc, conv = normed(nn.Linear(n, 4)), normed(nn.Conv1d(n, 4, 1))
    return Block(lambda s, x: s.fc(x) - s.conv(x.transpose(1, 2)).transpose(1, 2), 4, fc=fc, conv=conv)


@block(SEQUENCE, SEQUENCE)
def rolled(n):
    return Block(lambda s, x: x.roll(1, 1) - x.roll((-2, 1), (1, 2)), n)


@block(SEQUENCE, SEQUENCE)
def made_finite(n):
    return Block(lambda s, x: torch.nan_to_num(x / (x > 0), posinf=3.0, neginf=-2.0) + torch.nan_to_num(0 * x), n)


@block(SEQUENCE, SEQUENCE)
def attention_of_torch(n):
    def forward(s, x):
        q = s.fc(x).unflatten(-1, (2, 3)).transpose(1, 2)
        blind = (x[:, None, None, :, 0] > 9.0).expand(-1, -1, x.shape[1], -1)       # no key may be looked at, mostly
        made = F.scaled_dot_product_attention(q, q, 2 * q, is_causal=True)
        made = made + F.scaled_dot_product_attention(q, q, q, attn_mask=blind, scale=0.3)
        made = made + F.scaled_dot_product_attention(q, q, q, attn_mask=x[:, None, None, :, 0])
        return made.transpose(1, 2).flatten(2)
    return Block(forward, 6, fc=nn.Linear(n, 6))


@block(SEQUENCE, SEQUENCE)
def heads_of_torch(n):
    def forward(s, x):
        y = s.fc(x)
        return s.heads(y, y, y)[0] + s.heads(y, y, y, need_weights=False)[0]
    return Block(forward, 4, fc=nn.Linear(n, 4), heads=nn.MultiheadAttention(4, 2, batch_first=True))


@block(SEQUENCE, SEQUENCE)
def pairs_of_steps(n):
    """The greater of two steps, as convolutional networks shorten a sequence, and each pair where it was."""
    def forward(s, x):
        padded = F.pad(x, (0, 0, 0, 1)).transpose(1, 2)
        made = F.max_pool1d(padded, 2, stride=1) + s.pool(padded)
        return made.transpose(1, 2)
    return Block(forward, n, pool=nn.MaxPool1d(kernel_size=2, stride=1))
