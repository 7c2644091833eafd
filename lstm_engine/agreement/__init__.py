"""A converted live model beside the model itself: what differs is an error. One file a framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Model


def check_agreement(model: Model, metadata: Mapping[str, str], source: Any, example_inputs: Any = None) -> None:
    """Compare a model with the live Keras model or torch module that it was made from.

    metadata: of the graph, which says whose program it is; weights that were read without one cannot be compared.
    Raises LstmEngineError naming the output and the difference.
    """
    if metadata.get("program") == "torch.export":
        from .torch_module import compare_with_module

        compare_with_module(model, source, example_inputs)
    elif metadata.get("source") == "keras":
        from .keras_model import compare_with_model

        compare_with_model(model, source)
