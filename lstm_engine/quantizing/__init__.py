"""`le.quantize`: a model with smaller weights, and how far its outputs are from those of the float model."""

from .choice import quantize

__all__ = ["quantize"]
