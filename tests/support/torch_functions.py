"""Functions of torch on one tensor [batch, time, 4], by name: what a forward does between its layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

Function = Callable[[torch.Tensor], Any]
tensor = torch.tensor


def _written(x: torch.Tensor) -> Any:
    """Writes through views, one after the other, the tensor itself and a part of it read afterwards."""
    y = x * 2
    y[:, 1:3] += 1
    y[:, -1] = 0
    y[:, :2].mul_(3)
    y.transpose(0, 1)[0].clamp_(max=1)
    y[y > 5] = -5
    z = y.clone()
    z[:, 0] = y[:, 1]
    z.unsqueeze(1)[:, 0, -2:].sigmoid_()
    return y, z


def _in_the_middle(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, [1, 0]] = x[:, :2] * 3
    y[:, :, [3]] += 1
    return y


def _collected(x: torch.Tensor) -> torch.Tensor:
    """Results of steps put into a tensor made before."""
    made = torch.empty(x.size(0), 3, 4)
    for t in range(3):
        made[:, t] = x[:, 0] * t
    return made


SCATTERING: dict[str, Function] = {
    "scatter": lambda x: torch.zeros_like(x).scatter(1, x.argsort(1), x),
    "scatter of a number": lambda x: x.scatter(2, x.argmax(2, keepdim=True), 5.0),
    "scatter_add": lambda x: torch.zeros_like(x).scatter_add(2, (x > 0).long(), x),
    "scatter_reduce amax": lambda x: x.scatter_reduce(1, (x[:, :1] > 9).long(), x[:, :1], "amax"),
    "scatter_reduce without self": lambda x: x.scatter_reduce(1, (x > 9).long(), x, "prod", include_self=False),
    "index_add": lambda x: x.index_add(2, tensor([0, 2]), torch.ones_like(x[:, :, :2]), alpha=2),
    "index_copy": lambda x: x.index_copy(2, tensor([1]), torch.ones_like(x[..., :1])),
    "index_fill": lambda x: x.index_fill(2, tensor([0, 3]), -1.0),
    "index_put": lambda x: x.index_put((tensor([0, 1]), tensor([1, 0])), tensor(3.0)),
    "index_put in the middle": _in_the_middle,
    "a mask as index": lambda x: x[x > 0], "a mask of rows and steps": lambda x: x[x.sum(-1) > 0],
    "a mask put": lambda x: x.index_put((x.sum(-1) > 0,), tensor([1.0, 2, 3, 4])),
    "indices": lambda x: x[:, [-1, 0]], "indices apart": lambda x: x[tensor([0, 1]), :, tensor([2, 3])],
    "take": lambda x: torch.take(x, tensor([0, 3])), "take_along_dim": lambda x: x.take_along_dim(x.argsort(1), 1),
    "written": _written, "collected": _collected, "where a number": lambda x: torch.where(x > 0, 1, 0),
}

def logarithmic_scan(coefficients: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """h[t] = a[t] h[t - 1] + b[t] of logarithms, all steps at once, as minGRU computes it (Heinsen, 2023)."""
    sums = coefficients.cumsum(1)
    return (sums + (values - sums).logcumsumexp(1)).exp()


ORDER: dict[str, Function] = {
    "cumprod": lambda x: x.cumprod(1), "topk": lambda x: tuple(x.topk(2, dim=-1)), "msort": lambda x: x.msort(),
    "sort": lambda x: tuple(x.sort(dim=1, descending=True)), "argsort": lambda x: x.argsort(-1),
    "bucketize": lambda x: torch.bucketize(x, tensor([-1.0, 0.0, 1.0])),
    "searchsorted": lambda x: torch.searchsorted(tensor([-1.0, 0.0, 1.0]), x, right=True),
    "isin": lambda x: torch.isin(x.argmax(-1), tensor([1, 2])), "diff": lambda x: x.diff(dim=1, n=1),
    "trapezoid": lambda x: torch.trapezoid(x, dim=1), "one_hot": lambda x: F.one_hot(x.argmax(-1), 4),
    "a scan in logarithms": lambda x: logarithmic_scan(F.logsigmoid(-x), F.logsigmoid(x) + x.tanh()),
}

SHAPES: dict[str, Function] = {
    "unfold": lambda x: x.unfold(1, 2, 1), "unfold by two": lambda x: x.unfold(2, 2, 2),
    "roll": lambda x: x.roll((1, -1), (1, 2)), "roll flat": lambda x: x.roll(2), "flip": lambda x: x.flip(1, 2),
    "fliplr": lambda x: x.fliplr(), "repeat": lambda x: x.repeat(2, 1, 2), "tile": lambda x: x.tile(2),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "repeat_interleave by numbers": lambda x: x.repeat_interleave(tensor([1, 2, 0, 1]), 2),
    "expand": lambda x: x[:, :1].expand(-1, 4, -1), "pad": lambda x: F.pad(x, (1, 2), value=3.0),
    "pad reflect": lambda x: F.pad(x, (1, 1), mode="reflect"), "pad cut": lambda x: F.pad(x, (-1, 1)),
    "pad replicate": lambda x: F.pad(x, (2, 1), mode="replicate"), "pad time": lambda x: F.pad(x, (0, 0, 3, 0)),
    "pad circular": lambda x: F.pad(x, (1, 1), mode="circular"), "ravel": lambda x: x.ravel(),
    "tensor_split": lambda x: torch.tensor_split(x, 3, dim=-1),
    "tensor_split at": lambda x: torch.tensor_split(x, (1, 3), dim=-1), "unbind": lambda x: x.unbind(-1),
    "hstack": lambda x: torch.hstack([x, x]), "dstack": lambda x: torch.dstack([x[0], x[0]]),
    "vstack": lambda x: torch.vstack([x, x]), "column_stack": lambda x: torch.column_stack([x[:, 0, 0], x[:, 0, 1]]),
    "moveaxis": lambda x: x.moveaxis(0, 2), "movedim": lambda x: torch.movedim(x, (0, 1), (2, 0)),
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x, x[:, :1])[1],
    "broadcast_to": lambda x: torch.broadcast_to(x[:, :1], x.shape), "unflatten": lambda x: x.unflatten(-1, (2, -1)),
    "meshgrid": lambda x: torch.meshgrid(torch.arange(x.size(1)), torch.arange(4), indexing="xy"),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.transpose(1, 2).unsqueeze(-1), 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x.transpose(1, 2).unsqueeze(-1), 2),
    "diagonal": lambda x: torch.diagonal((x[:, :1] * torch.eye(4)), offset=1, dim1=1, dim2=2),
    "view of a product of sizes": lambda x: x.reshape(-1, 2, 2).view(x.size(0), x.size(1), -1),
    "sizes as numbers": lambda x: x / x.shape[1] ** 0.5 + float(x.shape[0]) + x[:, :max(x.shape[1] - 1, 1)].sum(),
    "half of the steps": lambda x: x[:, :x.shape[1] // 2], "linspace": lambda x: x + torch.linspace(0, 1, 4),
}

ARITHMETIC: dict[str, Function] = {
    "to half and back": lambda x: x.half().float(), "lerp": lambda x: torch.lerp(x, x * 2, 0.7),
    "lerp by a tensor": lambda x: torch.lerp(x, x * 2, torch.sigmoid(x)),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5), "addcdiv": lambda x: x.addcdiv(x, x.abs() + 1),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(1), dim=-1),
    "cosine of pairs": lambda x: F.cosine_similarity(x.unsqueeze(2), x.unsqueeze(1), dim=-1),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x * 2), "cdist": lambda x: torch.cdist(x, x * 2 + 1),
    "mse": lambda x: F.mse_loss(x, x * 2), "l1": lambda x: F.l1_loss(x, x * 2, reduction="none"),
    "huber": lambda x: F.huber_loss(x, x * 3), "smooth_l1": lambda x: F.smooth_l1_loss(x, x * 3, beta=0.5),
    "logaddexp": lambda x: torch.logaddexp(x, x * 2), "exp2": lambda x: torch.exp2(x), "frac": lambda x: (x * 3).frac(),
    "logit": lambda x: torch.logit(torch.sigmoid(x), eps=1e-3), "xlogy": lambda x: torch.xlogy(x, x.abs()),
    "hypot of near ones": lambda x: torch.hypot(x, x + 1), "asinh": lambda x: torch.asinh(x),
    "isfinite": lambda x: (1 / x).isfinite(),
    "heaviside": lambda x: torch.heaviside(x.round(), tensor(0.5)), "float_power": lambda x: x.abs().float_power(2),
    "isclose": lambda x: torch.isclose(x, x * 1.000001), "entr": lambda x: torch.special.entr(x),
    "bits": lambda x: ((x * 10).long() & 3) | 8, "rrelu": lambda x: F.rrelu(x),
    "prelu": lambda x: F.prelu(x, tensor(0.2)),
    "norms": lambda x: (torch.linalg.norm(x, dim=-1), torch.linalg.norm(x, ord=1, dim=1), x.norm()),
    "outer": lambda x: torch.outer(x[0, 0], x[0, 1]), "inner": lambda x: torch.inner(x, x[0]),
    "baddbmm": lambda x: torch.baddbmm(x @ x.mT, x, x.mT, alpha=0.5, beta=2),
    "addmm without self": lambda x: torch.addmm(x[0, :, :1] / 0, x[0], torch.ones(4, 3), beta=0),
    "addmv": lambda x: torch.addmv(x[0, :, 0], x[0], torch.ones(4), beta=0.5),
    "multi_dot": lambda x: torch.linalg.multi_dot([x[0], torch.ones(4, 3), torch.ones(3, 2)]),
    "aminmax": lambda x: tuple(torch.aminmax(x, dim=1)), "count_nonzero": lambda x: torch.count_nonzero(x > 0, dim=1),
    "nanmean": lambda x: torch.nanmean(torch.where(x > 1, torch.nan, x), 1), "a number": lambda x: x.mean(),
}

RANKS: dict[str, Function] = {
    "median": lambda x: (x.median(), x.median(-1).values, x.median(1, keepdim=True)[0]),
    "kthvalue": lambda x: (x.kthvalue(2, dim=1).values, x.kthvalue(3).values),
    "quantile": lambda x: (torch.quantile(x, 0.3, dim=1), x.quantile(tensor([0.0, 0.25, 1.0]), dim=-1, keepdim=True)),
    "quantile of all": lambda x: (x.quantile(0.5), x.quantile(0.4, dim=1, interpolation="lower")),
}

MATRICES: dict[str, Function] = {
    "tensordot": lambda x: torch.tensordot(x, torch.arange(12.0).view(4, 3), dims=1),
    "tensordot over two": lambda x: torch.tensordot(x, x.mT, dims=([1, 2], [2, 1])),
    "addbmm": lambda x: torch.addbmm(x[0] @ x[0].mT, x, x.mT, alpha=0.5, beta=2),
    "addr": lambda x: torch.addr(x[0], x[0, :, 0], x[0, 0]),
    "cross": lambda x: (torch.cross(x[..., :3], x[..., 1:], dim=2), torch.linalg.cross(x[..., 1:], x[..., :3])),
    "diag_embed": lambda x: (torch.diag_embed(x), torch.diag_embed(x, dim1=0, dim2=2)),
    "diag": lambda x: (torch.diag(x[0, :, 0]), torch.diag(x[0].T @ x[0], 1), torch.trace(x[0].T @ x[0])),
    "a norm of matrices": lambda x: (torch.linalg.matrix_norm(x), torch.linalg.matrix_norm(x, dim=(0, 2))),
    "kron": lambda x: torch.kron(x[:, 0], torch.arange(6.0).view(1, 6)),
    "triangles by places": lambda x: (x.mT @ x).permute(1, 2, 0)[tuple(torch.tril_indices(4, 4, -1))]
                                     - torch.triu_indices(4, 4, 1)[0].unsqueeze(1)
}

MEANT_ALIKE: dict[str, Function] = {
    "other names": lambda x: torch.multiply(torch.subtract(x, 1), torch.negative(x).absolute()).divide(3),
    "other names in place": lambda x: x.clone().multiply_(2).absolute_().divide_(4),
    "other names of angles": lambda x: x.tanh().arcsin() + x.arctan() - x.arcsinh() + (x.tanh() / 2).arctanh(),
    "other comparisons": lambda x: (x.greater(0), x.less_equal(0.5), x.not_equal(x.flip(1)), x.less(x.flip(1))),
    "windows of a signal": lambda x: x * torch.hann_window(4) + torch.hamming_window(4, periodic=False),
    "binary cross entropy": lambda x: F.binary_cross_entropy(torch.sigmoid(x), (x > 0).float(), reduction="none"),
    "of logits": lambda x: F.binary_cross_entropy_with_logits(x, (x > 0).float(), pos_weight=tensor([1.0, 2, 3, 4])),
    "shifts": lambda x: ((x * 4).long() << 2, (x * 400).int() >> 3), "masked_select": lambda x: x.masked_select(x > 0),
}

GRIDS: dict[str, Function] = {
    "nearest": lambda x: F.interpolate(x.mT, size=7),
    "exact": lambda x: F.interpolate(x.mT, size=9, mode="nearest-exact"),
    "linear": lambda x: F.interpolate(x.mT, scale_factor=2, mode="linear"),
    "linear by 1.5, corners": lambda x: F.interpolate(x.mT, scale_factor=1.5, mode="linear", align_corners=True),
    "bilinear": lambda x: F.interpolate(x.unsqueeze(1), scale_factor=2, mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x.unsqueeze(1), size=(5, 7), mode="bicubic"),
    "max_pool1d": lambda x: F.max_pool1d(x.mT, 2, 1, 1),
    "max_pool dilated": lambda x: F.max_pool1d(x.mT, 2, dilation=2),
    "max_pool places": lambda x: F.max_pool1d(x.mT, 2, return_indices=True),
    "max_pool2d ceil": lambda x: F.max_pool2d(x.unsqueeze(1), 3, 2, 1, ceil_mode=True),
    "avg_pool1d": lambda x: F.avg_pool1d(x.mT, 2, 1, 1, count_include_pad=False),
    "avg_pool1d ceil": lambda x: F.avg_pool1d(x.mT, 3, 2, ceil_mode=True),
    "avg_pool2d divisor": lambda x: F.avg_pool2d(x.unsqueeze(1), 2, divisor_override=3),
    "adaptive_avg": lambda x: F.adaptive_avg_pool1d(x.mT, 3), "adaptive_max": lambda x: F.adaptive_max_pool1d(x.mT, 2),
    "adaptive_avg 2d": lambda x: F.adaptive_avg_pool2d(x.unsqueeze(1), (None, 3)),
    "transposed": lambda x: F.conv_transpose1d(x.mT, torch.ones(4, 3, 3), stride=2, padding=1, output_padding=1),
    "instance_norm": lambda x: F.instance_norm(x.mT), "alone": lambda x: F.conv1d(x[0].mT, torch.ones(2, 4, 1)),
}

# Of numbers that are not finite, ties, halves and zeros of both signs, too.
EDGES: dict[str, Function] = {
    "so far": lambda x: (*x.cummax(1), *x.cummin(-1), *(2 * x.nan_to_num(0, 9, -9)).int().cummax(1),
                         x.logcumsumexp(1), *x.sum().cummin(0)),
    "floor of a quotient": lambda x: (x // 0.3, x // -0.7, x.div(x.flip(1), rounding_mode="floor"), 2 // x),
    "floor by 0 and by infinity": lambda x: (x // 0.0, x // float("inf"), (x * 1e6) // 0.1),
    "a quotient cut": lambda x: (x.div(0.1, rounding_mode="trunc"), (x.nan_to_num(0, 9, -9) * 3).long() // -2),
    "remainders": lambda x: (x % 0.7, x % -2, x % float("inf"), x.fmod(-0.7), x.remainder(x.flip(1)), x % 0),
    "signs": lambda x: (x.sign(), x.sgn(), x.round(), x.trunc(), x.frac()),
    "the greatest and the least": lambda x: (*x.max(1), *x.min(-1, keepdim=True), x.argmax(), x.amin((0, -1))),
    "clamp": lambda x: (x.clamp(1, -1), x.clamp(x.flip(1), x), x.nan_to_num(0, 3, -3).long().clamp(0.5, 1.5)),
    "shrinks": lambda x: (F.hardshrink(x), F.softshrink(x), F.threshold(x, 0.5, 20), F.hardtanh(x, -0.5, 2)),
    "moments": lambda x: (x.var((0, 1), correction=2), x.std(1, keepdim=True), x[:, :1].std(1), x.var(1, correction=9)),
    "sorted": lambda x: (*x.sort(1), *torch.sort(x, stable=True, dim=-1, descending=True)),
    "sums of other types": lambda x: (x.sum(1, dtype=torch.float64), (x > 0).cumsum(1), x.softmax(1, torch.float64)),
    "truth values": lambda x: ((x > 0) + (x < 1), (x > 0) * 2.5, (x > 0) + 1, (x > 0) == 1, (x > 0) < (x > 1)),
    "types": lambda x: (torch.where(x > 0, 1, 2.5), torch.where(x > 0, x.isnan(), 1.5), x + tensor(1.0).double(),
                        (x > 0).int() * 2.5, (x > 0).int() + (x > 0).long(), torch.full_like((x > 0).long(), 2.7)),
    "a trapezoid": lambda x: (torch.trapezoid(x, dim=1), torch.trapezoid(x, dx=0.5)),
    "parts of a mean": lambda x: (F.adaptive_avg_pool1d(x.mT, 3), F.adaptive_avg_pool1d(x, 3)),
    "hypot": lambda x: (torch.hypot(x * 1e25, x), torch.hypot(x * 1e-25, x * 1e-25), torch.hypot(x, x.flip(1))),
    "angles": lambda x: (torch.atan2(x, x.flip(1)), torch.arctan2(x, -x), torch.atan2(x, x * 0), x.atan2(tensor(-0.0))),
    "beside NaN": lambda x: (torch.fmax(x, x.flip(1)), torch.fmin(x, x.flip(1)), x.isposinf(), x.isneginf()),
    "ranks": lambda x: (x.median(1).values, x.median(), x.quantile(0.4, dim=1), x.kthvalue(2).values),
    "decimals": lambda x: (x.round(decimals=1), x.round(decimals=0), (x * 300).round(decimals=-1)),
    "sums of powers of two": lambda x: (torch.logaddexp2(x, x.flip(1)), torch.logaddexp2(x, x)),
    "sinc": lambda x: torch.sinc(x.clamp(-4, 4)), "embedded": lambda x: torch.diag_embed(x),
    "powers": lambda x: (x ** 0.5, x ** -1, x ** x, 2 ** x, x.rsqrt(), x.pow(0)),
}

FUNCTIONS = {**SCATTERING, **ORDER, **SHAPES, **ARITHMETIC, **RANKS, **MATRICES, **MEANT_ALIKE, **GRIDS}
