"""What the user of a model must know of it, beyond its shapes: kept in its metadata, said once at conversion."""

from __future__ import annotations

from collections.abc import Mapping


def notes(metadata: Mapping[str, str]) -> list[str]:
    """The sentences that a model's metadata stand for.

    "stateful": names of layers, with commas, whose state Keras carries from call to call.
    """
    made = []
    if stateful := metadata.get("stateful"):
        made.append(f"stateful layers ({stateful.replace(',', ', ')}): in Keras a second predict goes on from the "
                    "states of the first; predict here begins anew each time. Model.stream(...) goes on, as does "
                    "predict with initial_state= and return_state=")
    return made
