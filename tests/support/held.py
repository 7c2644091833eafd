"""How much of Python's memory a process holds, without what CPython keeps of its own accord."""

from __future__ import annotations

import gc
import sys


def python_blocks() -> int:
    """Blocks of Python's allocator, when what is unreachable has been freed.

    CPython's cache of attributes holds up to 4096 names, many of which C code made for one look-up: they come with
    every new kind of call for thousands of calls, and are nobody's leak.
    """
    gc.collect()
    clear = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if clear is not None:
        clear()
    return sys.getallocatedblocks()
