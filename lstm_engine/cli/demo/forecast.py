"""The forecaster: a year of weekly CO2 ahead, charted with the truth and the seasonal-naive forecast."""

from __future__ import annotations

import argparse

import numpy as np

from ..console import Console
from .chart import Curve, chart
from .common import Result, convert, heading, rate, scaled_difference, stored

# PyTorch and this engine order their float32 sums differently; over 104 steps outputs of about 1 differ by 1e-6.
TOLERANCE = 1e-5
HEIGHT = 15
SHOWN = -1                   # of the stored windows, the one that is charted


def run(arguments: argparse.Namespace, console: Console) -> Result:
    """Convert `forecast.pt`, forecast every stored window, compare with PyTorch's stored outputs and with the truth."""
    data = stored("forecast.npz")
    model, seconds = convert("forecast.pt", pool="last")
    season, scale = int(data["season"]), float(data["scale"])
    window, naive, truth = data["window"], data["naive"], data["truth"]
    x = ((window[:, season:] - window[:, :-season]) / scale)[..., None].astype(np.float32)
    y = model.predict(x, threads=arguments.threads)
    forecast = naive + scale * y                 # the network says by how much the coming year differs from the last
    ours, plain = (np.abs(guess - truth).mean(axis=1) for guess in (forecast, naive))
    per_second = rate(lambda: len(model.predict(x, threads=arguments.threads)))

    difference = scaled_difference(y, data["outputs"])
    numbers = {
        "max_difference": difference,
        "mae": float(ours.mean()), "mae_seasonal_naive": float(plain.mean()), "unit": str(data["unit"]),
        "shown": {"start": str(data["start"][SHOWN]), "mae": float(ours[SHOWN]),
                  "mae_seasonal_naive": float(plain[SHOWN])},
        "forecasts_per_second": per_second,
    }
    unit, start = str(data["unit"]), str(data["start"][SHOWN])
    lines = heading(console, f"Forecast: {data['title']}, a year ahead, by an LSTM trained in PyTorch", "forecast.pt",
                    model, seconds)
    curves = [Curve("seasonal naive: last year again", naive[SHOWN], ("·", "."), "yellow"),
              Curve("truth", truth[SHOWN], ("", ""), "bold"),
              Curve("forecast", forecast[SHOWN], ("●", "o"), "cyan")]
    lines += chart(console, curves, HEIGHT, (start, f"{naive.shape[1]} weeks on"))
    line = "─" if console.unicode else "-"
    marks = [console.style(curve.marks[0 if console.unicode else 1] or line, curve.style) for curve in curves]
    legend = "    ".join(f"{mark} {curve.name}" for mark, curve in zip(marks, curves, strict=True))
    lines += ["", f"           {legend}", "",
              f"mean absolute error of this year: {ours[SHOWN]:.2f} {unit}, seasonal naive {plain[SHOWN]:.2f} {unit}; "
              f"of all {len(ours)} years: {ours.mean():.2f}, naive {plain.mean():.2f}",
              f"largest difference from PyTorch's stored outputs: {difference:.1e}",
              f"{per_second:,.0f} forecasts of {naive.shape[1]} weeks per second at batch {len(y)}"]
    return Result(lines, numbers, "PyTorch", difference, TOLERANCE)
