"""Benchmarks: peers, limits, pytest-benchmark files, report, instruction counts; see README.md here.

They run the engine of the checkout that they stand in; that it is not built is said here, once for all of them.
"""

from importlib.util import find_spec

# Not an ImportError, to which `python -m` would add a traceback of its own.
if find_spec("lstm_engine") is None or find_spec("lstm_engine._core") is None:
    raise SystemExit("bench: the engine of this checkout is not built; in its root run: python setup.py build_ext "
                     "--inplace (or: python -m pip install -e '.[bench]')")
