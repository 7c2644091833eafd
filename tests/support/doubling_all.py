"""All cases of `doubling`, in the order in which they are printed."""

import doubling_torch  # noqa: F401  (registers its cases)
from doubling_cases import CASES
from doubling_foreign import FOREIGN

ALL = [*CASES, *FOREIGN]
