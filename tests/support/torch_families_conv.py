"""Convolutions before, beside and around recurrent layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch_families import FEATURES, HIDDEN, family, series


@family(lambda rows, steps: (torch.randn(rows, 1, 8, 4 * steps),))
class CRNN(nn.Module):
    """Shi et al. 2015: an image read column by column; log-probabilities for CTC, time first."""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2, 2),
                                 nn.Conv2d(4, 6, 3, 1, 1), nn.ReLU(True), nn.MaxPool2d((2, 2), (2, 1), (0, 1)),
                                 nn.Conv2d(6, 6, 2, 1, 0), nn.ReLU(True))
        self.rnn1, self.rnn2 = nn.LSTM(6, HIDDEN, bidirectional=True), nn.LSTM(2 * HIDDEN, 4, bidirectional=True)
        self.fc = nn.Linear(8, 11)

    def forward(self, x):
        z = self.cnn(x)
        z = z.squeeze(2).permute(2, 0, 1)
        y, _ = self.rnn2(self.rnn1(z)[0])
        t, b, h = y.size()
        return F.log_softmax(self.fc(y.view(t * b, h)).view(t, b, -1), dim=2)


@family(lambda rows, steps: (torch.randn(rows, 1, 12, steps), torch.full((rows,), steps)))
class DeepSpeech(nn.Module):
    """Convolutions over a spectrogram, steps past each length cleared, GRUs, and how many steps are left."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, (5, 3), stride=(2, 1), padding=(2, 1))
        self.conv2 = nn.Conv2d(3, 3, (3, 3), stride=(2, 2), padding=(1, 1))
        self.norm = nn.BatchNorm1d(9)
        self.rnn, self.fc = nn.GRU(9, HIDDEN, bidirectional=True, batch_first=True), nn.Linear(HIDDEN, 7)

    def forward(self, x, lengths):
        for conv in (self.conv1, self.conv2):
            x = F.hardtanh(conv(x), 0, 20)
        left = torch.div(lengths - 1, 2, rounding_mode="floor") + 1
        keep = torch.arange(x.size(-1)).expand(x.size(0), -1) < left.unsqueeze(1)
        x = x * keep[:, None, None, :]
        b, c, f, t = x.size()
        x = self.norm(x.view(b, c * f, t)).transpose(1, 2)
        y, _ = self.rnn(x)
        y = y.view(b, t, 2, -1).sum(2)
        return self.fc(y).softmax(-1), left


@family(series)
class CNNLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(FEATURES, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.pool, self.lstm = nn.MaxPool1d(2), nn.LSTM(8, HIDDEN, batch_first=True)
        self.average, self.fc = nn.AdaptiveAvgPool1d(1), nn.Linear(HIDDEN, 2)

    def forward(self, x):
        z = self.pool(F.relu(self.norm(self.conv(x.permute(0, 2, 1)))))
        y, _ = self.lstm(z.permute(0, 2, 1))
        return self.fc(self.average(y.transpose(1, 2)).squeeze(-1))


@family(lambda rows, steps: (torch.randn(rows, steps, 3, 10, 9),))
class VideoLSTM(nn.Module):
    """A small CNN for each frame, adaptive pooling to 2 by 2, an LSTM over the frames."""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.InstanceNorm2d(4, affine=True),
                                 nn.PReLU(4), nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten())
        self.lstm, self.fc = nn.LSTM(16, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 3)

    def forward(self, x):
        b, t, c, h, w = x.size()
        z = self.cnn(x.view(b * t, c, h, w)).view(b, t, -1)
        return self.fc(self.lstm(z)[0][:, -1])


class CausalBlock(nn.Module):
    """Bai et al. 2018, with weight_norm and the right end cut off."""

    def __init__(self, inner, outer, dilation):
        super().__init__()
        self.cut = 2 * dilation
        self.conv1 = nn.utils.weight_norm(nn.Conv1d(inner, outer, 3, padding=self.cut, dilation=dilation))
        self.conv2 = nn.utils.weight_norm(nn.Conv1d(outer, outer, 3, padding=self.cut, dilation=dilation))
        self.down = nn.Conv1d(inner, outer, 1) if inner != outer else None

    def forward(self, x):
        y = F.relu(self.conv1(x)[:, :, :-self.cut].contiguous())
        y = F.relu(self.conv2(y)[:, :, :-self.cut].contiguous())
        return F.relu(y + (x if self.down is None else self.down(x)))


@family(series)
class TCNGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.tcn = nn.Sequential(CausalBlock(FEATURES, 6, 1), CausalBlock(6, 6, 2))
        self.gru, self.fc = nn.GRU(6, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2)

    def forward(self, x):
        return self.fc(self.gru(self.tcn(x.transpose(1, 2)).transpose(1, 2))[0])


@family(series)
class WaveNet(nn.Module):
    """van den Oord et al. 2016: gated dilated causal convolutions, residual and skip."""

    def __init__(self):
        super().__init__()
        self.start = nn.Conv1d(FEATURES, 6, 1)
        self.filters = nn.ModuleList(nn.Conv1d(6, 6, 2, dilation=2 ** i) for i in range(3))
        self.gates = nn.ModuleList(nn.Conv1d(6, 6, 2, dilation=2 ** i) for i in range(3))
        self.residuals = nn.ModuleList(nn.Conv1d(6, 6, 1) for _ in range(3))
        self.skips = nn.ModuleList(nn.Conv1d(6, 4, 1) for _ in range(3))
        self.end = nn.Conv1d(4, 8, 1)

    def forward(self, x):
        x, skip = self.start(x.transpose(1, 2)), 0
        for i in range(3):
            padded = F.pad(x, (2 ** i, 0))
            z = torch.tanh(self.filters[i](padded)) * torch.sigmoid(self.gates[i](padded))
            skip = skip + self.skips[i](z)
            x = x + self.residuals[i](z)
        return self.end(F.relu(skip)).transpose(1, 2)


@family(series)
class SqueezeExcite(nn.Module):
    """Hu et al. 2018 over channels, as LSTM-FCN for time series has it, beside an LSTM."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(FEATURES, 8, 5, padding="same"), nn.Conv1d(8, 8, 3, padding="same")
        self.norm1, self.norm2 = nn.BatchNorm1d(8), nn.GroupNorm(2, 8)
        self.squeeze = nn.Sequential(nn.Linear(8, 2), nn.ReLU6(), nn.Linear(2, 8), nn.Hardsigmoid())
        self.lstm, self.fc = nn.LSTM(FEATURES, HIDDEN, batch_first=True), nn.Linear(HIDDEN + 8, 3)

    def forward(self, x):
        z = F.silu(self.norm2(self.conv2(F.hardswish(self.norm1(self.conv1(x.mT))))))
        z = z * self.squeeze(z.mean(2)).unsqueeze(2)
        _, (h, _) = self.lstm(x)
        return self.fc(torch.cat([h[-1], F.adaptive_avg_pool1d(z, 1).squeeze(2)], 1))


@family(lambda rows, steps: (torch.randn(rows, 2, 8 * steps),))
class UNet1d(nn.Module):
    """Down by strides and pools, an LSTM at the bottom, up by transposed convolutions, skips joined."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 6, 4, stride=2, padding=1)
        self.lstm = nn.LSTM(6, 3, bidirectional=True, batch_first=True)
        self.up1 = nn.ConvTranspose1d(6, 4, 2, stride=2)
        self.up2 = nn.ConvTranspose1d(8, 4, 4, stride=2, padding=1)
        self.end = nn.Conv1d(8, 1, 1)

    def forward(self, x):
        a = F.leaky_relu(self.down1(x), 0.2)
        b = F.leaky_relu(self.down2(F.avg_pool1d(a, 2)), 0.2)
        z = self.lstm(b.transpose(1, 2))[0].transpose(1, 2)
        up = torch.relu(self.up1(z))
        pooled = F.max_pool1d(a, 2)
        up = self.up2(torch.cat([up, pooled], dim=1))
        return torch.sigmoid(self.end(torch.cat([up, a], dim=1)))


@family(series)
class UpsampledDecoder(nn.Module):
    """Twice as many steps, by neighbours and by lines between them; convolutions padded in each mode."""

    def __init__(self):
        super().__init__()
        self.reflect = nn.Conv1d(FEATURES, 4, 3, padding=1, padding_mode="reflect")
        self.circular = nn.Conv1d(FEATURES, 4, 3, padding=1, padding_mode="circular")
        self.replicate = nn.Conv1d(8, 4, 3, padding=1, padding_mode="replicate")
        self.gru = nn.GRU(8, HIDDEN, batch_first=True)

    def forward(self, x):
        z = x.transpose(1, 2)
        z = torch.cat([self.reflect(z), self.circular(z)], 1)
        z = self.replicate(z)
        near = F.interpolate(z, scale_factor=2)
        line = F.interpolate(z, scale_factor=2, mode="linear", align_corners=False)
        return self.gru(torch.cat([near, line], 1).transpose(1, 2))[0]


@family(lambda rows, steps: (torch.randn(rows, 4 * steps),))
class WindowedSpectrum(nn.Module):
    """Overlapping windows by unfold, weighted, their energies into a GRU."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(8))
        self.basis, self.gru = nn.Linear(8, 5, bias=False), nn.GRU(5, HIDDEN, batch_first=True)

    def forward(self, x):
        frames = x.unfold(1, 8, 4) * self.window
        energy = torch.log(torch.clamp(self.basis(frames).square(), min=1e-6))
        energy = energy - energy.mean(dim=1, keepdim=True)
        return self.gru(energy)[1][-1]
