"""docs/attacks.md: the table of all attacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .attack import Attack, Refused, Table

PREFACE = """# Attacks

Written by `python tools/attacks.py --write`; do not edit. One file, or call, for each class of attack, made by
`tests/hostile/attacks/cases`, with what must come of it: the class of the error and the part of its message that the
test asks for, or that it opens and gives the right numbers. `tests/hostile/test_attacks.py` runs all of them, each in a
process of its own under an audit hook, and also fails where code was run or imported, a file outside the folder was
opened, a file was changed, or more than 256 MB of memory were taken beside what the files are long.
[SECURITY.md](../SECURITY.md) says what is promised.

A CVE is what the attack is modelled on, in whatever program it was found; a CWE is its kind where there is no better
name.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    """A message in a cell of a table, as it is."""
    return f"`{cell(text)}`" if text.isprintable() else f"`{cell(repr(text)[1:-1])}`"


def row(attack: Attack) -> str:
    """The beginning of an attack's line: all but what was measured."""
    expected = attack.expected
    outcome = f"{expected.error.__name__}: {code(expected.message)}" if isinstance(expected, Refused) \
        else f"opens: {cell(expected.why)}"
    return f"| {cell(attack.name)} | {cell(attack.source)} | {outcome} |"


def summary(attacks: Iterable[Attack]) -> str:
    """How many end how."""
    ends = Counter(attack.expected.error.__name__ if isinstance(attack.expected, Refused) else "opens, right"
                   for attack in attacks)
    return f"{sum(ends.values())} attacks: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()) + "."


def page(tables: Sequence[Table], measured: dict[str, tuple[float, float]], machine: str) -> str:
    """The whole page. measured: milliseconds and MB by the key of an attack."""
    parts = [PREFACE, f"{summary(attack for table in tables for attack in table.attacks)} Milliseconds (a process that "
             f"the package starts to parse in among them) and MB of further memory, that process' among them: measured "
             f"once, on a machine that did other things beside ({machine}).\n"]
    for table in tables:
        parts += [f"## {table.format}\n", "| attack | modelled on | outcome | ms | MB |", "|---|---|---|---|---|"]
        for attack in table.attacks:
            ms, mb = measured[attack.key]
            parts.append(f"{row(attack)} {ms:,.0f} | {mb:,.1f} |")
        parts.append("")
    return "\n".join(parts)
