"""Benchmarks: peers, machine limits, pytest-benchmark files, report, instruction counts. See bench/README.md."""
