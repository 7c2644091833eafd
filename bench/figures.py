"""The plots of a report, each made from rows; none measures anything. matplotlib without a display."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from .cells import GRID_BATCH, GRID_HIDDEN, GRID_STEPS
from .engines import OWN
from .table import Line, Row, lines

matplotlib.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "path",
        "svg.hashsalt": "lstm-engine",
        "figure.constrained_layout.use": True,
    }
)
COLOURS = {
    OWN[0]: "#c0392b",
    OWN[1]: "#e59866",
    "onnxruntime": "#2471a3",
    "torch": "#7d3c98",
    "openvino": "#1e8449",
}
MARKS = {OWN[0]: "o", OWN[1]: "P", "onnxruntime": "s", "torch": "^", "openvino": "D"}
_SHORT = {"onnxruntime": "ort", "torch": "torch", "openvino": "ov"}


def _plain(value: float, _position: object = None) -> str:
    """A number for a tick or a mark: three digits, no powers of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _engine(label: str) -> str:
    return label.split("/")[0]


def _grid_heat(
    value: Callable[[int, int, int], tuple[float, str] | None],
    title: str,
    norm: Normalize,
    colours: str,
    bar: str,
    ticks: Mapping[float, str],
) -> Figure:
    """A panel for each number of steps, hidden units by batch; `value` gives a number and its text."""
    figure, axes = plt.subplots(1, len(GRID_STEPS), figsize=(9, 3.6), sharey=True)
    for axis, steps in zip(axes, GRID_STEPS):
        cells = [[value(hidden, batch, steps) for batch in GRID_BATCH] for hidden in GRID_HIDDEN]
        numbers = [[math.nan if cell is None else cell[0] for cell in row] for row in cells]
        image = axis.imshow(numbers, norm=norm, cmap=colours, aspect="auto")
        for y, row in enumerate(cells):
            for x, cell in enumerate(row):
                if cell is not None:
                    red, green, blue, _ = image.cmap(image.norm(cell[0]))
                    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                    axis.text(
                        x,
                        y,
                        cell[1],
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if dark else "black",
                    )
        axis.set_xticks(range(len(GRID_BATCH)), GRID_BATCH)
        axis.set_yticks(range(len(GRID_HIDDEN)), GRID_HIDDEN)
        axis.set(title=f"{steps} step{'s' if steps > 1 else ''}", xlabel="rows in the batch")
    axes[0].set_ylabel("hidden units = inputs")
    figure.colorbar(image, ax=axes, label=bar).set_ticks(list(ticks), labels=list(ticks.values()))
    figure.suptitle(title)
    return figure


def speed_up_map(rows: Sequence[Row], threads: int) -> Figure:
    """Our speed-up over the best peer on the grid, with that peer's name."""
    by_cell = {line.cell: line for line in lines(rows) if line.threads == threads and line.speed_up}

    def value(hidden: int, batch: int, steps: int) -> tuple[float, str] | None:
        line = by_cell.get(f"lstm/H{hidden}-B{batch}-T{steps}")
        if line is None or line.speed_up is None or line.best_peer is None:
            return None
        return math.log2(line.speed_up), f"{line.speed_up:.2f}\n{_SHORT[_engine(line.best_peer)]}"

    return _grid_heat(
        value,
        f"LSTM, float32, {threads} threads: times faster than the best peer",
        TwoSlopeNorm(0, -1.5, 3),
        "RdYlGn",
        "times faster",
        {math.log2(ratio): _plain(ratio) for ratio in (0.5, 1, 2, 4, 8)},
    )


def share_map(found: Iterable[Mapping[str, Any]], threads: int) -> Figure:
    """Our share of the machine's limit on the grid."""
    by_cell = {row["cell"]: row["share"] for row in found}

    def value(hidden: int, batch: int, steps: int) -> tuple[float, str] | None:
        share = by_cell.get(f"lstm/H{hidden}-B{batch}-T{steps}")
        return None if share is None else (share, f"{share:.0%}")

    return _grid_heat(
        value,
        f"LSTM, float32, {threads} threads: share of the machine's limit",
        Normalize(0, 1),
        "viridis",
        "limit / our time",
        {share / 100: f"{share}%" for share in (0, 25, 50, 75, 100)},
    )


def speed_up_bars(chosen: Sequence[Line]) -> Figure:
    """Speed-ups of cells outside the grid, one bar each."""
    shown = [line for line in chosen if line.speed_up]
    figure, axis = plt.subplots(figsize=(9, 0.8 + 0.2 * max(4, len(shown))))
    for at, line in enumerate(shown):
        assert line.speed_up is not None
        axis.barh(at, line.speed_up - 1, left=1, color=COLOURS[_engine(str(line.best_peer))], height=0.7)
        axis.text(max(line.speed_up, 1), at, f" {line.speed_up:.2f}", va="center", fontsize=7)
    axis.set_yticks(range(len(shown)), [line.cell for line in shown], fontsize=7)
    axis.set_xscale("log", base=2)
    ratios = [float(line.speed_up or 1) for line in shown]
    axis.set(
        xlabel="times faster than the best peer",
        ylim=(len(shown) - 0.4, -0.6),
        xlim=(min(0.8, min(ratios) * 0.9), max(2.0, max(ratios) * 1.35)),
    )
    axis.xaxis.set_major_formatter(_plain)
    axis.axvline(1, color="black", linewidth=0.8)
    peers = dict.fromkeys(_engine(str(line.best_peer)) for line in shown)
    axis.legend(
        [plt.Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in peers],
        peers,
        title="best peer",
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),             # beside the bars: they may reach into any corner
    )
    return figure


def latency(rows: Sequence[Row]) -> Figure:
    """p50, p99 and p99.9 of single steps, by cell and engine."""
    cells, engines = (
        list(dict.fromkeys(row["cell"] for row in rows)),
        list(dict.fromkeys(row["engine"] for row in rows)),
    )
    figure, axis = plt.subplots(figsize=(9, 3.6))
    for row in rows:
        at = cells.index(row["cell"]) + (engines.index(row["engine"]) - (len(engines) - 1) / 2) * 0.18
        colour = COLOURS[row["engine"]]
        axis.plot([at, at], [row["p50_us"], row["p99.9_us"]], color=colour, linewidth=1.5, alpha=0.5)
        for name, mark in (("p50_us", "o"), ("p99_us", "_"), ("p99.9_us", "^")):
            axis.plot(at, row[name], mark, color=colour, markersize=6 if mark != "_" else 11)
        axis.annotate(
            _plain(row["p50_us"]),
            (at, row["p50_us"]),
            xytext=(0, -11),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(_plain)
    axis.margins(y=0.12)
    axis.set_xticks(range(len(cells)), cells)
    axis.set(
        ylabel="us a step", title="One step at a time, state carried: p50 (dot), p99 (bar), p99.9 (triangle)"
    )
    handles = [plt.Line2D([], [], color=COLOURS[name], marker="o", label=name) for name in engines]
    axis.legend(handles=handles, ncols=len(engines), loc="upper left", fontsize=8)
    return figure


def _curves(
    panels: Mapping[str, Sequence[Row]], x: str, y: Callable[[Row], float], x_label: str, y_label: str
) -> Figure:
    """A panel for each title; a line for each engine; `x` is a key of the rows."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.4), squeeze=False)
    for axis, (title, rows) in zip(axes[0], panels.items()):
        for name in dict.fromkeys(row["engine"] for row in rows):
            points = sorted((row[x], y(row)) for row in rows if row["engine"] == name)
            axis.plot(*zip(*points), marker=MARKS[name], color=COLOURS[name], label=name, markersize=4)
        axis.set_xscale("log", base=2)
        ticks = sorted({row[x] for row in rows})
        axis.set_xticks(ticks, ticks)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(_plain)
        axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.yaxis.set_minor_formatter(_plain)
        axis.set(title=title, xlabel=x_label)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(y_label)
    axes[0][0].legend(fontsize=8)
    return figure


def batch_scaling(rows: Sequence[Row], threads: int, hidden: Sequence[int] = (64, 256, 1024)) -> Figure:
    """Thousand steps of rows per second over the batch, from the grid."""
    panels = {
        f"H = {size}, 50 steps": [
            row
            for row in rows
            if row["cell"].startswith(f"lstm/H{size}-") and row["steps"] == 50 and row["threads"] == threads
        ]
        for size in hidden
    }
    return _curves(
        {title: own for title, own in panels.items() if own},
        "batch",
        lambda row: 1e3 * row["batch"] * row["steps"] / row["median_us"],
        "rows in the batch",
        "thousand row steps a second",
    )


def length_scaling(rows: Sequence[Row], threads: int) -> Figure:
    """us per step over the number of steps."""
    chosen = [row for row in rows if row["cell"].startswith("steps/") and row["threads"] == threads]
    panels = {
        f"H = 128, batch {batch}": [row for row in chosen if row["batch"] == batch]
        for batch in dict.fromkeys(row["batch"] for row in chosen)
    }
    return _curves(
        panels, "steps", lambda row: row["median_us"] / row["steps"], "steps in a call", "us a step"
    )


def thread_scaling(rows: Sequence[Row]) -> Figure:
    """Speed over one thread of the same engine; the same data at all numbers of threads."""
    alone = {(row["engine"], row["cell"]): row["median_us"] for row in rows if row["threads"] == 1}
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    most = max(row["threads"] for row in rows)
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    figure, axis = plt.subplots(figsize=(9, 3.2))
    for row in rows:
        if row["threads"] == most and (row["engine"], row["cell"]) in alone:
            gain = alone[row["engine"], row["cell"]] / row["median_us"]
            at = cells.index(row["cell"]) + (engines.index(row["engine"]) - (len(engines) - 1) / 2) * 0.2
            axis.bar(at, gain, 0.18, color=COLOURS[row["engine"]])
            axis.text(at, gain, f"{gain:.2f}", ha="center", va="bottom", fontsize=7)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks(range(len(cells)), cells, fontsize=8)
    axis.set(ylabel=f"speed with {most} threads over one", title=f"What {most} threads give")
    axis.margins(y=0.2)
    axis.legend(
        [plt.Rectangle((0, 0), 1, 1, color=COLOURS[name]) for name in engines],
        engines,
        ncols=len(engines),
        fontsize=8,
        loc="upper left",
    )
    return figure


def neighbours(rows: Sequence[Row]) -> Figure:
    """p99 of every engine on most threads over our p50 alone on the machine, a panel for each cell."""
    cells, settings, engines = (list(dict.fromkeys(row[key] for row in rows)) for key in ("cell", "setting", "engine"))
    most = max(row["threads"] for row in rows)
    figure, axes = plt.subplots(1, len(cells), figsize=(3 * len(cells), 3.2), sharey=True, squeeze=False)
    for axis, cell in zip(axes[0], cells, strict=True):
        own = [row for row in rows if row["cell"] == cell and row["threads"] == most]
        quiet = min(row["p50_us"] for row in own)
        for engine in engines:
            found = [row for row in own if row["engine"] == engine]
            axis.plot([settings.index(row["setting"]) for row in found], [row["p99_us"] / quiet for row in found],
                      marker=MARKS[engine], color=COLOURS[engine], linewidth=0.8, label=engine)
        axis.set_yscale("log")
        axis.set_xticks(range(len(settings)), settings, rotation=60, fontsize=8)
        axis.set_title(cell.split("/")[1], fontsize=9)
    axes[0][0].set_ylabel("p99 over the best p50")
    axes[0][0].legend(fontsize=8)
    return figure


def memory(rows: Sequence[Row]) -> Figure:
    """Resident bytes after loading and one run, and the time of loading."""
    cells, engines = (
        list(dict.fromkeys(row["cell"] for row in rows)),
        list(dict.fromkeys(row["engine"] for row in rows)),
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for axis, value, title in (
        (axes[0], lambda row: row["resident_bytes"] / 2**20, "resident, MiB"),
        (axes[1], lambda row: row["load_ms"], "time of loading, ms"),
    ):
        for row in rows:
            at = cells.index(row["cell"]) + (engines.index(row["engine"]) - (len(engines) - 1) / 2) * 0.2
            axis.bar(at, value(row), 0.18, color=COLOURS[row["engine"]])
            axis.text(at, value(row), _plain(value(row)), ha="center", va="bottom", fontsize=7)
        axis.set_xticks(range(len(cells)), cells)
        axis.set(title=title, yscale="log")
        axis.yaxis.set_major_formatter(_plain)
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.margins(y=0.15)
    for at, cell in enumerate(cells):
        weights = next(row["weights_bytes"] for row in rows if row["cell"] == cell) / 2**20
        axes[0].plot([at - 0.42, at + 0.42], [weights, weights], color="black", linewidth=1)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[name], label=name) for name in engines]
    handles.append(plt.Line2D([], [], color="black", label="the weights"))
    figure.legend(handles=handles, fontsize=7, loc="outside lower center", ncols=len(handles))
    return figure


def products(rows: Sequence[Row], threads: int) -> Figure:
    """Packed kernels beside the BLAS on plain products: BLAS time / packed time."""
    us = {
        (row["engine"], row["cell"]): row["median_us"]
        for row in rows
        if row["cell"].startswith("product/") and row["threads"] == threads
    }
    parts = [tuple(cell.split("/")[1].split("-", 1)) for engine, cell in us if engine == OWN[0]]
    heights, widths = list(dict.fromkeys(m for m, _ in parts)), list(dict.fromkeys(kn for _, kn in parts))
    figure, axis = plt.subplots(figsize=(6, 3))
    numbers = [
        [us.get((OWN[1], f"product/{m}-{kn}"), math.nan) / us[OWN[0], f"product/{m}-{kn}"] for kn in widths]
        for m in heights
    ]
    image = axis.imshow(numbers, norm=LogNorm(0.25, 4), cmap="RdYlGn", aspect="auto")
    for y, row in enumerate(numbers):
        for x, ratio in enumerate(row):
            axis.text(x, y, f"{ratio:.2f}", ha="center", va="center", fontsize=8)
    axis.set_xticks(range(len(widths)), widths)
    axis.set_yticks(range(len(heights)), heights)
    axis.set_title("Dense alone: BLAS time / packed time (above 1: packed is faster)")
    bar = figure.colorbar(image, ax=axis)
    bar.set_ticks([0.25, 0.5, 1, 2, 4], labels=["0.25", "0.5", "1", "2", "4"])
    bar.minorticks_off()
    return figure


def peers_figure(rows: Sequence[Row]) -> Figure:
    """What `bench.peers --plot` draws: the map where the rows are of the grid, bars else."""
    threads = max(row["threads"] for row in rows)
    made = [line for line in lines(rows) if line.threads == threads]
    return (
        speed_up_map(rows, threads)
        if all(line.cell.startswith("lstm/") for line in made)
        else speed_up_bars(made)
    )
