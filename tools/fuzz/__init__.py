"""Fuzzers of all that takes a stranger's bytes, and of what a caller may do wrong; README.md says how to run them.

    run.py        the command line                 campaign.py   targets in child processes, the table
    child.py      one target in this process       rule.py       what every execution must keep to
    findings.py   written, made smaller, repeated  targets/      one file for what belongs together
    corpus/       small inputs to begin with, made by make_corpus.py        mutate/   changes that know a format
"""
