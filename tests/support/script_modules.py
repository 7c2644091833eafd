"""Small modules as TorchScript archives, without what makes them large: seeds of the fuzzers, and of tests."""

import io

import torch
from torch import nn


class Choices(nn.Module):
    """Constants, lists and sizes decide."""

    def forward(self, x):
        parts: list[torch.Tensor] = []
        for at in range(2):
            parts.append(x * (at + 1))
        if x.dim() != 3:
            raise ValueError("three axes")
        y = torch.cat(parts, dim=-1)
        return y.reshape(x.size(0) * x.size(1), -1) / x.size(1)


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.GRU(3, 2, batch_first=True), nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1]).relu()


class States(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        self.seen += x.sum(dim=[0, 1])
        return x + self.seen


def scripted(module: nn.Module) -> bytes:
    torch.manual_seed(0)
    return _bytes(torch.jit.script(module.eval()))


def traced(module: nn.Module) -> bytes:
    torch.manual_seed(0)
    return _bytes(torch.jit.trace(module.eval(), torch.zeros(2, 4, 3)))


def _bytes(program) -> bytes:
    """The archive, packed, without what speaks of the sources of the code."""
    import zipfile

    file, made = io.BytesIO(), io.BytesIO()
    torch.jit.save(program, file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if not name.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    return made.getvalue()
