"""The graph: plain dataclasses and NumPy arrays that say what a model computes, checked
before anything runs (`operators.validate`)."""

from .activations import ACTIVATIONS, LINEAR, RELU, SIGMOID, TANH, Activation
from .nodes import (
                    DTYPES,
                    GRU,
                    LSTM,
                    NODE_TYPES,
                    RNN,
                    Activate,
                    Dense,
                    Embedding,
                    Graph,
                    Loop,
                    Mask,
                    Node,
                    Operator,
                    Pool,
                    Recurrent,
                    Value,
)
from .readings import Reading
from .weights import DIRECTIONS

__all__ = ["ACTIVATIONS", "DIRECTIONS", "DTYPES", "GRU", "LINEAR", "LSTM", "NODE_TYPES", "RELU", "RNN", "SIGMOID",
           "TANH", "Activate", "Activation", "Dense", "Embedding", "Graph", "Loop", "Mask", "Node", "Operator", "Pool",
           "Reading", "Recurrent", "Value"]
