"""`python -m bench.report`: measure or read everything; write Markdown and a self-contained HTML page.

Writes report.md with its figures (SVG), report.html with the same inside, and data.json.gz, from which `--data`
draws the pages again without measuring. `--short` writes what is worth keeping under version control: the grid, two
plots and the data. Exit code: 0; 1 if an engine computed something else.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import html
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .collect import collect
from .machine import sentence
from .table import format_table, lines

_KEPT = ("speed-up", "threads")         # sections of the short report, by their figures


@dataclass(frozen=True)
class Section:
    """A heading, a sentence or two, a figure by file name with its SVG, a table as plain text."""

    title: str
    words: str
    figure: str = ""
    svg: str = ""
    table: str = ""


def _svg(figure: Any) -> str:
    import matplotlib.pyplot as plt

    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    plt.close(figure)
    return out.getvalue()


def _latency_table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = [f"{'cell':18}{'engine':14}{'p50 us':>10}{'p99 us':>10}{'p99.9 us':>10}{'calls':>9}"]
    text += [
        f"{r['cell']:18}{r['engine']:14}{r['p50_us']:10.2f}{r['p99_us']:10.2f}{r['p99.9_us']:10.2f}"
        f"{r['calls']:9}"
        for r in rows
    ]
    return "\n".join(text)


def _footprint_table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = [f"{'cell':18}{'engine':14}{'weights MiB':>12}{'resident MiB':>13}{'load ms':>9}"]
    text += [
        f"{r['cell']:18}{r['engine']:14}{r['weights_bytes'] / 2**20:12.1f}{r['resident_bytes'] / 2**20:13.1f}"
        f"{r['load_ms']:9.1f}"
        for r in rows
    ]
    return "\n".join(text)


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The parts of the page that the data has rows for."""
    from . import figures, neighbours
    from .ceilings import Ceilings
    from .limits import Limit, format_ceilings, format_shares, shares

    threads, rows = data["settings"]["threads"], data["peers"]
    grid = [row for row in rows if row["cell"].startswith("lstm/")]
    others = [row for row in rows if row["cell"].split("/")[0] not in ("lstm", "steps")]
    rest = [line for line in lines(others) if line.threads == threads]
    ceilings = _ceilings(data["ceilings"], Ceilings)
    share_rows = shares(rows, Limit(ceilings, threads))
    found = []

    def add(given: Sequence[Any], title: str, words: str, name: str, draw: Any, table: str) -> None:
        if given:
            found.append(Section(title, words, name, _svg(draw()), table))

    add(
        grid,
        "The grid",
        "One LSTM layer, float32. Each field: our speed-up over the fastest peer, and which that is.",
        "speed-up",
        lambda: figures.speed_up_map(grid, threads),
        format_table(grid, data["unsupported"]),
    )
    add(
        share_rows,
        "Share of the machine's limit",
        "The limit follows from multiply-add rate, read bandwidth, "
        "activations and barrier (bench/limits.py has the formula); 100 % cannot be passed.",
        "share",
        lambda: figures.share_map(share_rows, threads),
        format_ceilings(ceilings) + "\n\n" + format_shares(share_rows),
    )
    add(
        rest,
        "Other layers and whole models",
        "GRU, stacks, both directions, odd sizes, unequal lengths, reference systems "
        "with random weights, trained models.",
        "others",
        lambda: figures.speed_up_bars(rest),
        format_table(others, [row for row in data["unsupported"] if not row["cell"].startswith("lstm/")]),
    )
    add(
        data["latency"],
        "Single steps",
        "One sequence, one step a call, state carried; one thread.",
        "latency",
        lambda: figures.latency(data["latency"]),
        _latency_table(data["latency"]),
    )
    add(
        data["threads"],
        "Threads",
        "The same cells on one thread and on more.",
        "threads",
        lambda: figures.thread_scaling(data["threads"]),
        format_table(data["threads"]),
    )
    beside = data.get("neighbours", [])
    add(
        beside,
        "Beside other processes",
        "Single calls beside processes that want the cores (bench/neighbours.py says which): p50 and p99, us, and "
        "the share of calls 2 ms over the median.",
        "neighbours",
        lambda: figures.neighbours(beside),
        neighbours.format_rows(beside),
    )
    add(
        grid,
        "Batch",
        "Throughput over the number of rows.",
        "batch",
        lambda: figures.batch_scaling(grid, threads),
        "",
    )
    steps = [row for row in rows if row["cell"].startswith("steps/")]
    add(
        steps,
        "Length",
        "Time per step over the number of steps in a call.",
        "length",
        lambda: figures.length_scaling(steps, threads),
        format_table(steps),
    )
    add(
        data["products"],
        "Packed kernels and BLAS",
        'One Dense layer: our packed kernels, and gemm="blas" (the BLAS that NumPy carries).',
        "products",
        lambda: figures.products(data["products"], threads),
        format_table(data["products"]),
    )
    add(
        data["footprint"],
        "Memory and loading",
        "A stored LSTM layer loaded in a fresh process and run once.",
        "memory",
        lambda: figures.memory(data["footprint"]),
        _footprint_table(data["footprint"]),
    )
    return found


def _ceilings(stored: Mapping[str, Any], kind: Any) -> Any:
    """From JSON, whose keys are strings."""
    return kind(
        {int(n): v for n, v in stored["fma"].items()},
        {int(n): {int(size): v for size, v in own.items()} for n, own in stored["read"].items()},
        {int(n): v for n, v in stored["barrier"].items()},
        stored["call"],
    )


def _about(data: Mapping[str, Any]) -> str:
    settings = data["settings"]
    return (
        f"One run, on {sentence(data['machine'])}. {settings['threads']} threads, "
        f"{settings['rounds']} rounds, medians. Every engine in a process of its own, one at a time, "
        "cells interleaved; outputs were compared before timing."
    )


def markdown(data: Mapping[str, Any], parts: Sequence[Section]) -> str:
    text = ["# lstm-engine: benchmark report", "", _about(data), ""]
    text += [f"**Outputs that differ:** {message}\n" for message in data["wrong"]]
    for part in parts:
        text += [f"## {part.title}", "", part.words, "", f"![{part.title}]({part.figure}.svg)", ""]
        if part.table:
            text += ["```text", part.table.rstrip(), "```", ""]
    return "\n".join(text)


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
img{max-width:100%}pre{background:#f6f6f6;padding:.7rem;overflow-x:auto;font-size:12px}
h2{margin-top:2.2rem}.wrong{color:#b00}"""


def page(data: Mapping[str, Any], parts: Sequence[Section]) -> str:
    text = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>lstm-engine: benchmark report</title><style>{_STYLE}</style>",
        f"<h1>lstm-engine: benchmark report</h1><p>{html.escape(_about(data))}</p>",
    ]
    text += [f"<p class=wrong>Outputs that differ: {html.escape(message)}</p>" for message in data["wrong"]]
    for part in parts:
        image = base64.b64encode(part.svg.encode()).decode()
        text.append(
            f"<h2>{html.escape(part.title)}</h2><p>{html.escape(part.words)}</p>"
            f"<img alt='{html.escape(part.title)}' src='data:image/svg+xml;base64,{image}'>"
        )
        if part.table:
            text.append(f"<details><summary>Figures</summary><pre>{html.escape(part.table)}</pre></details>")
    return "\n".join(text) + "</html>\n"


def write(data: Mapping[str, Any], folder: Path, short: bool = False) -> list[Path]:
    """The files of a report; their paths. short: the sections of `_KEPT` alone, tables but of the first left out."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = sections(data)
    if short:
        parts = [part for part in parts if part.figure in _KEPT]
        parts[1:] = [replace(part, table="") for part in parts[1:]]
    files = {"report.md": markdown(data, parts)}
    if not short:
        files["report.html"] = page(data, parts)
    files |= {f"{part.figure}.svg": part.svg for part in parts}
    for name, text in files.items():
        (folder / name).write_text(text)
    # Without the time of day, which gzip would write: the same data are the same bytes.
    packed = gzip.compress(json.dumps(data, separators=(",", ":")).encode(), mtime=0)
    (folder / "data.json.gz").write_bytes(packed)
    return [folder / name for name in (*files, "data.json.gz")]


def read(path: Path) -> Any:
    """What is in a JSON file, compressed or not."""
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("bench-report"), metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=0.05, help="for one engine on one cell in one round (0.05)"
    )
    parser.add_argument("--short", action="store_true", help="the grid, two plots and the data alone")
    parser.add_argument("--quick", action="store_true", help="a few cells, to try the report itself")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--peers", type=Path, metavar="FILE", help="use these rows of bench.peers --json")
    source.add_argument(
        "--data", type=Path, metavar="FILE", help="draw again from data.json.gz, measure nothing"
    )
    arguments = parser.parse_args(argv)
    if arguments.data:
        data = read(arguments.data)
    else:
        peers = read(arguments.peers) if arguments.peers else None
        data = collect(arguments.threads, arguments.rounds, arguments.seconds, arguments.quick, peers)
    for path in write(data, arguments.out, arguments.short):
        print(path)
    for message in data["wrong"]:
        print(f"WRONG: {message}", file=sys.stderr)
    return 1 if data["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
