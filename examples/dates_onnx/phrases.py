"""Sentences with dates in them, made up without end: every character has a label.

    labels    "." none of a date, "D" day, "M" month, "Y" year

A date is drawn evenly from 1400 to 2199 and written in one of the ways below; the sentence around it is put together of
phrases that were written for this project, words that nobody uses, and numbers that are no dates (times, rooms, sums,
pages). Nothing else goes in, so what a model learns from it is free of anybody's rights. The same seed makes the same
sentences.
"""

from __future__ import annotations

import random
from collections.abc import Callable

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LABELS = ".DMY"

Piece = tuple[str, str]             # a text, and the label of all its characters
Way = Callable[[random.Random, int, int, int], list[Piece]]


def ordinal(day: int) -> str:
    return f"{day}{'th' if day in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def name_of(rng: random.Random, month: int) -> str:
    """A month's name, whole or cut short, with a full stop or without."""
    name = MONTHS[month - 1]
    short = f"{name[:3]}." if rng.random() < 0.5 and len(name) > 4 else name[:3]
    return name if rng.random() < 0.7 else short


def day_of(rng: random.Random, day: int) -> str:
    return ordinal(day) if rng.random() < 0.3 else str(day)


WAYS: tuple[Way, ...] = (
    lambda r, y, m, d: [(day_of(r, d), "D"), (" ", "."), (name_of(r, m), "M"), (" ", "."), (str(y), "Y")],
    lambda r, y, m, d: [("the ", "."), (ordinal(d), "D"), (" of ", "."), (name_of(r, m), "M"),
                        (r.choice((" ", ", ")), "."), (str(y), "Y")],
    lambda r, y, m, d: [(name_of(r, m), "M"), (" ", "."), (day_of(r, d), "D"), (", ", "."), (str(y), "Y")],
    lambda r, y, m, d: [(str(y), "Y"), ("-", "."), (f"{m:02}", "M"), ("-", "."), (f"{d:02}", "D")],
    lambda r, y, m, d: [(f"{d:02}" if r.random() < 0.5 else str(d), "D"), (".", "."),
                        (f"{m:02}" if r.random() < 0.5 else str(m), "M"), (".", "."), (str(y), "Y")],
    lambda r, y, m, d: [(str(m), "M"), ("/", "."), (str(d), "D"), ("/", "."), (str(y), "Y")],     # as in America
    lambda r, y, m, d: [(name_of(r, m), "M"), (" ", "."), (str(y), "Y")],
    lambda r, y, m, d: [(day_of(r, d), "D"), (" ", "."), (name_of(r, m), "M")],
    lambda r, y, m, d: [(name_of(r, m), "M"), (" ", "."), (day_of(r, d), "D")],
    lambda r, y, m, d: [(r.choice(("in ", "since ", "in the year ")), "."), (str(y), "Y")],
)

SUBJECTS = ("the {w}", "{w} {w}", "the {w} of {w}", "a {w} {w}", "{w}", "invoice {n}", "order {n}", "two of the {w}",
            "the bridge", "the letter", "this invoice", "a meeting", "the harbour", "her diary", "the old mill",
            "our train", "the treaty", "chapter {n}", "the church", "a ship of {n} men", "the fair", "room {n}",
            "the museum", "the map", "his brother", "the third edition", "order {n}", "the comet", "they", "the garden",
            "an opera", "the king")
VERBS = ("was begun", "was signed", "was lost", "closed", "opened again", "is due", "was paid", "burned down",
         "arrived", "was built", "may be seen", "was born", "landed", "was written", "begins", "was found", "left",
         "was sold")
JOINS = (" on ", " on ", " in {w} on ", " and {w} {w} on ", " {w} in ", " before ", " after ", " until ", ", ", " by ",
         " (", " of ", ": ", " ")
ENDS = (".", ".", ".", " at {h}:{t}.", ", at {h} o'clock.", " in {place}.", " for {n} pounds.", "; it has {n} pages.",
        ")", ", the {o} time.", " with {n} others.", " from {place} to {place}.", "?", "!", " and cost {s}.")
PLACES = ("{w}", "{w} {w}", "{w}", "London", "Salzburg", "the north", "Lisbon", "room {n}", "the valley", "Prague",
          "hall {n}", "Marchfield", "Augusta", "Mayfair", "the Moon", "Vienna", "Oslo")
PLAIN = ("{w} {w} the {w} of {w}, {w} {n} {w}.", "the {w} has {n} {w}, {w} and {n} {w}.",
         "may I have {n} tickets, please?", "chapter {n} has {n} pages, of which {n} are maps.",
         "march on for {n} miles.", "the {o} of {n} copies is missing.", "{n} men and {n} horses, {s} in all.",
         "it is {h}:{t} in {place}.", "call {n}-{n} or {n}.{n} for room {n}.",
         "the score was {n} to {n}, {n}/{n} at half time.", "an august company of {n}, which may sit in {place}.",
         "a second {n} and a third {n} make {s}.")


def word(rng: random.Random) -> str:
    """A word that nobody uses, with a capital letter now and then: no list of words is learned by heart."""
    made = "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "st", "th"))
                   for _ in range(rng.choice((1, 1, 2, 2, 3))))
    return made.capitalize() if rng.random() < 0.4 else made


def filled(rng: random.Random, text: str) -> str:
    """A phrase with its numbers, places and times drawn."""
    while "{" in text:
        before, _, rest = text.partition("{")
        kind, _, after = rest.partition("}")
        made = {"n": lambda: str(rng.choice((rng.randrange(1, 100), rng.randrange(1, 3000)))),
                "s": lambda: f"{rng.randrange(1, 100)},{rng.randrange(1000):03}",
                "h": lambda: str(rng.randrange(24)), "t": lambda: f"{rng.randrange(60):02}",
                "w": lambda: word(rng), "o": lambda: ordinal(rng.randrange(1, 40)),
                "place": lambda: rng.choice(PLACES)}[kind]()
        text = before + made + after
    return text


def date(rng: random.Random) -> list[Piece]:
    month = rng.randrange(1, 13)
    return rng.choice(WAYS)(rng, rng.randrange(1400, 2200), month, rng.randrange(1, LENGTHS[month - 1] + 1))


def sentence(rng: random.Random) -> tuple[str, str]:
    """(text, labels): as many labels as characters."""
    if rng.random() < 0.12:
        pieces = [(filled(rng, rng.choice(PLAIN)), ".")]
    else:
        clause = [(filled(rng, f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)}{rng.choice(JOINS)}"), "."), *date(rng)]
        opening = [("on ", "."), *date(rng), (", ", "."),
                   (filled(rng, f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)}"), ".")]
        pieces = clause if rng.random() < 0.7 else opening
        if rng.random() < 0.3:
            pieces += [(filled(rng, f" and {rng.choice(VERBS)}{rng.choice(JOINS)}"), "."), *date(rng)]
        pieces.append((filled(rng, rng.choice(ENDS)), "."))
    text, labels = "".join(text for text, _ in pieces), "".join(label * len(text) for text, label in pieces)
    return (text[0].upper() + text[1:] if rng.random() < 0.8 else text), labels


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    return [sentence(rng) for _ in range(count)]
