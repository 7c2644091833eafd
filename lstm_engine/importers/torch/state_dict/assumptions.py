"""What a chain of layers takes for granted when weights alone are given: plain sentences that name the layers.

Names are quoted as Python quotes them, so that a sentence is one line of printable text whatever a file calls its
layers. What an option has settled is not assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from .layers import Stack
from .readings import Chain, Settled, Step

ROWS = {"LSTM": "4 rows", "GRU": "3 rows", "RNN": "1 row"}       # of weights, for each unit


def assumptions(chain: Chain, settled: Settled) -> list[str]:
    """The sentences, from the kinds of the layers to the first state."""
    return [*_kinds(chain), *_order(chain, settled), *_between(chain, settled), *_surroundings(chain, settled)]


def _said(step: Step) -> str:
    return f"{step.label!r:.100}"


def _kinds(chain: Chain) -> Iterator[str]:
    for step in chain:
        if isinstance(step.part, Stack):
            cell = "Cell, stepped from the first step of a sequence to its last" if step.part.cell else ""
            yield (f"{_said(step)} is PyTorch's {step.op}{cell}: known by the names and sizes of its weights "
                   f"({ROWS[step.op]} a unit), which a cell of another kind could have too")
        elif not step.part.bias:
            yield f"{_said(step)} is {'an embedding' if step.op == 'Embedding' else 'a linear layer without a bias'}"


def _order(chain: Chain, settled: Settled) -> Iterator[str]:
    if len(chain) > 1 and settled.order is None:
        yield f"the layers run in the order {' -> '.join(map(_said, chain))}, each once"


def _between(chain: Chain, settled: Settled) -> Iterator[str]:
    """The program's parts without weights, of which a state dict shows nothing."""
    if chain[0].op != "Embedding":
        yield f"there is nothing before {_said(chain[0])}: it reads the input as it is"
    pooled = next(step for step in reversed(chain) if isinstance(step.part, Stack))
    for below, above in pairwise(chain):
        given = (below.op != "RNN" and settled.activation(below) is not None) or (below is pooled and settled.pool)
        yield f"there is nothing {'else ' if given else ''}between {_said(below)} and {_said(above)}"
    last = chain[-1]
    if last.op == "Dense" and settled.activation(last) is None:
        yield f"there is no activation after {_said(last)}"
    elif last.op != "Dense" and (settled.activation(last) is None or last.op == "RNN"):
        yield f"there is nothing after {_said(last)}"


def _surroundings(chain: Chain, settled: Settled) -> Iterator[str]:
    if settled.pool is None:
        yield "every step is given: no last step, mean or maximum is taken"
    yield f"sequences are batch first: [batch, time{'' if chain[0].op == 'Embedding' else ', features'}]"
    yield "every sequence begins with a zero state"
