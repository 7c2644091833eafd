"""Plans: a graph cut into segments for the C core and host operators, and the order in which they run."""

from .lower import HostStep, Plan, Segment, compute_dtype, lower
from .states import StateLayout

__all__ = ["HostStep", "Plan", "Segment", "StateLayout", "compute_dtype", "lower"]
