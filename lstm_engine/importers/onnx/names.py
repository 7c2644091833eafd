"""Names that nothing has yet."""

from __future__ import annotations


def unused(hint: str, taken: set[str], repeats: dict[str, int]) -> str:
    """`hint`, or `hint` with a number where it is taken; the name is taken from then on.

    repeats: the last number given for a hint. Without it thousands of equal hints would take quadratic time.
    """
    name = hint
    while name in taken:
        repeats[hint] = repeats.get(hint, 1) + 1
        name = f"{hint}_{repeats[hint]}"
    taken.add(name)
    return name
