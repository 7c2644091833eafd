"""Benchmarks: peers, limits, pytest-benchmark files, report, instruction counts; see README.md here."""
