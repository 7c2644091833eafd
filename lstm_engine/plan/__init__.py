"""Plans: a graph cut into segments for the C core and host operators, and the order in which they run."""

from .lower import Plan, compute_dtype, lower
from .steps import HostStep, LoopStep, Segment

__all__ = ["HostStep", "LoopStep", "Plan", "Segment", "compute_dtype", "lower"]
