"""Texts that come from files, made fit to be printed. The command line starts with this, and without NumPy."""

from __future__ import annotations


def one_line(text: str) -> str:
    """`text` with every control character, line break and lone surrogate as an escape: names come from files."""
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode()
                   for character in text)
