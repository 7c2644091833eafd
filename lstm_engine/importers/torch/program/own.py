"""Operators of ours that torch does not look into while it traces: recurrent layers, whole, and packed sequences.

Each runs as torch's own function does, and says the shapes of its results. `recurrent` and `sequences` read them back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@lru_cache(maxsize=1)
def own_operators() -> dict[Any, Any]:
    """torch.lstm, gru, rnn_tanh and rnn_relu -> operators of ours that torch does not look into."""
    import torch

    def size(x: Tensor, h: Tensor, bidirectional: bool) -> Tensor:
        return x.new_empty((x.shape[0], x.shape[1], h.shape[2] * (2 if bidirectional else 1)))

    def lstm(input: Tensor, hx: list[Tensor], params: list[Tensor], has_biases: bool, num_layers: int, dropout: float,
             train: bool, bidirectional: bool, batch_first: bool) -> tuple[Tensor, Tensor, Tensor]:
        return torch.lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)

    def lstm_shapes(input: Tensor, hx: list[Tensor], params: list[Tensor], has_biases: bool, num_layers: int,
                    dropout: float, train: bool, bidirectional: bool, batch_first: bool
                    ) -> tuple[Tensor, Tensor, Tensor]:
        return size(input, hx[0], bidirectional), torch.empty_like(hx[0]), torch.empty_like(hx[1])

    def one_state(name: str) -> Any:
        function: Callable[..., tuple[Tensor, Tensor]] = getattr(torch, name)

        def run(input: Tensor, hx: Tensor, params: list[Tensor], has_biases: bool, num_layers: int, dropout: float,
                train: bool, bidirectional: bool, batch_first: bool) -> tuple[Tensor, Tensor]:
            return function(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)

        def shapes(input: Tensor, hx: Tensor, params: list[Tensor], has_biases: bool, num_layers: int, dropout: float,
                   train: bool, bidirectional: bool, batch_first: bool) -> tuple[Tensor, Tensor]:
            return size(input, hx, bidirectional), torch.empty_like(hx)

        return operator(name, run, shapes)

    return {torch.lstm: operator("lstm", lstm, lstm_shapes),
            **{getattr(torch, name): one_state(name) for name in ("gru", "rnn_tanh", "rnn_relu")}}


@lru_cache(maxsize=1)
def packed_operators() -> dict[str, Any]:
    """pack, pad, and lstm, gru, rnn_tanh and rnn_relu over packed sequences, by name."""
    import torch


    def run_pack(input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        return torch._pack_padded_sequence(input, lengths, batch_first)

    def pack_shapes(input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        context = torch.library.get_ctx()
        total, longest = context.new_dynamic_size(), context.new_dynamic_size()
        return input.new_empty((total, *input.shape[2:])), input.new_empty((longest,), dtype=torch.int64)

    def run_pad(data: Tensor, sizes: Tensor, batch_first: bool, padding_value: float, total_length: int, rows: int
                ) -> tuple[Tensor, Tensor]:
        return torch._pad_packed_sequence(data, sizes, batch_first, padding_value, total_length)

    def pad_shapes(data: Tensor, sizes: Tensor, batch_first: bool, padding_value: float, total_length: int, rows: int
                   ) -> tuple[Tensor, Tensor]:
        lead = (rows, total_length) if batch_first else (total_length, rows)
        return data.new_empty((*lead, *data.shape[1:])), data.new_empty((rows,), dtype=torch.int64)

    def layer(name: str) -> Any:
        function: Any = getattr(torch, name)

        def run(data: Tensor, sizes: Tensor, hx: list[Tensor], params: list[Tensor], has_biases: bool, num_layers: int,
                dropout: float, train: bool, bidirectional: bool) -> list[Tensor]:
            states = hx if name == "lstm" else hx[0]
            return list(function(data, sizes, states, params, has_biases, num_layers, dropout, train, bidirectional))

        def shapes(data: Tensor, sizes: Tensor, hx: list[Tensor], params: list[Tensor], has_biases: bool,
                   num_layers: int, dropout: float, train: bool, bidirectional: bool) -> list[Tensor]:
            wide = hx[0].shape[2] * (2 if bidirectional else 1)
            return [data.new_empty((data.shape[0], wide)), *map(torch.empty_like, hx)]
        return operator(f"packed_{name}", run, shapes)

    return {"pack": operator("pack", run_pack, pack_shapes), "pad": operator("pad", run_pad, pad_shapes),
            **{name: layer(name) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}}


def operator(name: str, run: Any, shapes: Any) -> Any:
    """An operator of ours, `lstm_engine::name`, that torch does not look into while it traces."""
    import torch

    run.__annotations__ = _resolved(run.__annotations__)
    made = torch.library.custom_op(f"lstm_engine::{name}", run, mutates_args=())
    made.register_fake(shapes)
    return made


def _resolved(annotations: dict[str, Any]) -> dict[str, Any]:
    """Annotations that stand as text in this file, as the types that torch reads a schema from."""
    import torch

    names = {"Tensor": torch.Tensor, "list[Tensor]": list[torch.Tensor], "bool": bool, "int": int, "float": float,
             "tuple[Tensor, Tensor]": tuple[torch.Tensor, torch.Tensor],
             "tuple[Tensor, Tensor, Tensor]": tuple[torch.Tensor, torch.Tensor, torch.Tensor]}
    return {name: names[annotation] for name, annotation in annotations.items()}
