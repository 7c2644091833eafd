"""Plans: a graph cut into segments for the C core and host operators, and the order in which they run."""

from .lower import Plan, compute_dtype, lower
from .states import StateLayout
from .steps import HostStep, Segment

__all__ = ["HostStep", "Plan", "Segment", "StateLayout", "compute_dtype", "lower"]
