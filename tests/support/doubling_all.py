"""All cases of `doubling`, those that need onnx or h5py where they are installed."""

from doubling_cases import CASES
from doubling_foreign import FOREIGN

ALL = [*CASES, *FOREIGN]
