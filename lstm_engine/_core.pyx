# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The bindings of the C core: check, one call without the GIL, raise. No arithmetic here.

One extension module, its source a file a thought in `bindings/`: the C library's state (teams of threads, the BLAS, the
instruction set) then exists once in the process, and what every call passes through is inlined by the compiler.
"""

from cpython.exc cimport PyErr_Occurred
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cimport cython
cimport numpy as cnp

from . import errors
from ._le cimport *

cnp.import_array()
le_threads_init()

include "bindings/status.pxi"
include "bindings/machine.pxi"
include "bindings/numbers.pxi"
include "bindings/output_memory.pxi"
include "bindings/binding.pxi"
include "bindings/packed.pxi"
include "bindings/model.pxi"
include "bindings/weights.pxi"
include "bindings/calls.pxi"
include "bindings/steps.pxi"
