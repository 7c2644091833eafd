"""Train a forecaster in PyTorch that must beat the seasonal-naive forecast, and save its state dict.

The seasonal-naive forecast says that next year (week) repeats the last one. The network reads by how much
each recent value differed from the value one season before it, and answers by how much the coming ones will:

    x = (window[season:] - window[:-season]) / scale            [steps, 1]   what nn.LSTM -> nn.Linear reads
    naive = window[-season:][:horizon]                          [horizon]    the season before, again
    forecast = naive + scale * y                                [horizon]    y is the network's output

    python examples/forecast_torch/train.py                     weekly CO2 (statsmodels), a year ahead
    python examples/forecast_torch/train.py --nab nyc_taxi.csv  half-hourly taxi demand (NAB), a day ahead

The first writes `forecast.pt` (a plain state dict: lstm.*, head.*) and `forecast.npz`, whose windows follow
one another through the part of the series that was held out of training:

    window        float64 [windows, season + steps]  raw values up to the moment of the forecast
    truth         float64 [windows, horizon]         the values that followed
    naive         float64 [windows, horizon]         their seasonal-naive forecast
    season        int64   []                         steps in a season
    scale         float64 []                         unit of the network's inputs and outputs
    outputs       float32 [windows, horizon]         PyTorch's y for these windows
    start         str     [windows]                  date of each window's first forecast value
    title, unit   str     []
    held_out_mae  float64 [2]                        network, seasonal naive: over all held-out origins
"""

from __future__ import annotations

import argparse
import copy
import csv
from dataclasses import dataclass
from pathlib import Path

try:
    import numpy as np
    import torch
    from torch import nn
except ImportError as error:
    raise SystemExit(f"{error}. This example needs PyTorch: pip install '.[examples]'") from error

DEMO_DATA = Path(__file__).resolve().parents[2] / "lstm_engine/demo_data"


@dataclass
class Series:
    """A series, and how its forecast is judged. Lengths are in steps of the series."""

    name: str
    title: str
    unit: str
    values: np.ndarray  # [length], float64
    times: np.ndarray  # [length], str
    seasons: dict[str, int]  # the seasonal-naive forecasts to beat
    horizon: int
    held_out: int  # the tail nothing is fitted or chosen on
    validation: int  # the stretch before it, which picks the epoch


def co2() -> Series:
    try:
        from statsmodels.datasets import co2 as dataset
    except ImportError as error:
        raise SystemExit(f"{error}. This series comes with statsmodels: pip install '.[examples]'") from error
    print(f"statsmodels.datasets.co2: {dataset.COPYRIGHT.strip()}")
    table = dataset.load_pandas().data
    # 59 of the 2284 weeks were not measured, nearly all before 1965.
    return Series("forecast", "CO2 at Mauna Loa, weekly", "ppm", table["co2"].interpolate().to_numpy(),
                  table.index.strftime("%Y-%m-%d").to_numpy(dtype=str),
                  {"a year before": 52}, horizon=52, held_out=8 * 52, validation=5 * 52)


def taxi(path: Path) -> Series:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    day = 48
    return Series("forecast_taxi", "Taxi passengers in New York, half-hourly", "passengers",
                  np.array([float(row["value"]) for row in rows]),
                  np.array([row["timestamp"] for row in rows]),
                  {"a day before": day, "a week before": 7 * day}, horizon=day, held_out=42 * day,
                  validation=21 * day)


class Forecaster(nn.Module):
    def __init__(self, hidden: int, horizon: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, horizon)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [batch, steps, 1] -> y [batch, horizon], read off the last step."""
        outputs, _ = self.lstm(x)
        return self.head(outputs[:, -1])


@dataclass
class Windows:
    """Forecasts made at several moments of one series."""

    raw: np.ndarray  # [windows, season + steps]
    truth: np.ndarray  # [windows, horizon]
    naive: np.ndarray  # [windows, horizon]
    origin: np.ndarray  # [windows], index of the first forecast value

    def mae(self, forecast: np.ndarray) -> float:
        return float(np.abs(forecast - self.truth).mean())


def cut(series: Series, season: int, start: int, stop: int, every: int = 1) -> Windows:
    """All windows whose forecast lies within [start, stop); what they read may lie before."""
    values, horizon = series.values, series.horizon
    reach = season + 2 * horizon
    origin = np.arange(max(start, reach), stop - horizon + 1, every)
    raw = np.stack([values[t - reach:t] for t in origin])
    truth = np.stack([values[t:t + horizon] for t in origin])
    return Windows(raw, truth, raw[:, -season:][:, :horizon], origin)


def inputs(windows: Windows, season: int, scale: float) -> torch.Tensor:
    """The network's x [windows, steps, 1], float32."""
    return torch.from_numpy((windows.raw[:, season:] - windows.raw[:, :-season]) / scale).float()[..., None]


@torch.no_grad()
def forecast(model: Forecaster, windows: Windows, season: int, scale: float) -> np.ndarray:
    return windows.naive + scale * model(inputs(windows, season, scale)).double().numpy()


def train(model: Forecaster, fit: Windows, check: Windows, season: int, scale: float,
          args: argparse.Namespace) -> None:
    """Minimise the absolute error; keep the epoch that does best on the validation stretch."""
    x = inputs(fit, season, scale)
    y = torch.from_numpy((fit.truth - fit.naive) / scale).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-3)
    batches_per_epoch = -(-len(x) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=args.epochs * batches_per_epoch, pct_start=0.1)
    loss_of = nn.L1Loss()
    best, best_weights = float("inf"), model.state_dict()
    for epoch in range(args.epochs):
        total = 0.0
        for rows in torch.randperm(len(x)).split(args.batch):
            loss = loss_of(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        error = check.mae(forecast(model, check, season, scale))
        if error < best:
            best, best_weights = error, copy.deepcopy(model.state_dict())
        if (epoch + 1) % 5 == 0:
            print(f"epoch {epoch + 1:3d}/{args.epochs}  MAE: training {scale * total / len(x):.4g}  "
                  f"validation {error:.4g}", flush=True)
    model.load_state_dict(best_weights)


def naive_errors(series: Series, windows: Windows) -> dict[str, float]:
    """MAE of each seasonal-naive forecast the series has, at the windows' own origins."""
    return {name: windows.mae(np.stack([series.values[t - season:t - season + series.horizon]
                                        for t in windows.origin]))
            for name, season in series.seasons.items()}


def drift_error(series: Series, windows: Windows, season: int) -> float:
    """MAE of the naive forecast raised by the growth from the season before last to the last one."""
    growth = windows.raw[:, -season:].mean(1) - np.array(
        [series.values[t - 2 * season:t - season].mean() for t in windows.origin])
    return windows.mae(windows.naive + growth[:, None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nab", type=Path, help="nyc_taxi.csv of the Numenta Anomaly Benchmark (NAB)")
    parser.add_argument("--out", type=Path,
                        help=f"folder to write to (default: {DEMO_DATA}; with --nab nothing is written)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    if args.nab and not args.nab.is_file():
        parser.error(f"no file at {args.nab}")
    out = args.out or (None if args.nab else DEMO_DATA)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    series = taxi(args.nab) if args.nab else co2()
    length = len(series.values)
    test_start = length - series.held_out
    check_start = test_start - series.validation
    # Which season to lean on is chosen on the stretch the network is fitted to.
    longest = max(series.seasons.values())
    errors = naive_errors(series, cut(series, longest, 0, check_start))
    season = series.seasons[min(errors, key=errors.get)]
    fit = cut(series, season, 0, check_start)
    check = cut(series, season, check_start, test_start)
    test = cut(series, season, test_start, length)
    scale = float(np.std(fit.truth - fit.naive))
    print(f"{series.title}: {length:,} values from {series.times[0]} to {series.times[-1]}; "
          f"{series.horizon} ahead; everything from {series.times[test_start]} on is held out")

    model = Forecaster(args.hidden, series.horizon)
    train(model, fit, check, season, scale, args)
    error = test.mae(forecast(model, test, season, scale))
    naive = naive_errors(series, test)
    print(f"mean absolute error over {len(test.origin):,} held-out forecasts, {series.unit}:")
    print(f"  LSTM                          {error:10.4g}")
    for name, value in naive.items():
        print(f"  seasonal naive, {name:14s}{value:10.4g}")
    print(f"  seasonal naive with drift     {drift_error(series, test, season):10.4g}")
    if error >= min(naive.values()):
        raise SystemExit("the network does not beat the seasonal-naive forecast; nothing is written")
    if out is None:
        return

    shown = cut(series, season, test_start, length, every=series.horizon)
    with torch.no_grad():
        outputs = model(inputs(shown, season, scale)).numpy()
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, arrays_file = out / f"{series.name}.pt", out / f"{series.name}.npz"
    torch.save(model.state_dict(), checkpoint)
    np.savez_compressed(
        arrays_file, window=shown.raw, truth=shown.truth, naive=shown.naive, season=np.int64(season),
        scale=np.float64(scale), outputs=outputs, start=series.times[shown.origin],
        title=np.str_(series.title), unit=np.str_(series.unit),
        held_out_mae=np.array([error, min(naive.values())]))
    for path in (checkpoint, arrays_file):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
