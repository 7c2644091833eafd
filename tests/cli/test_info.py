"""lstm-engine info."""

from __future__ import annotations

import json

import lstm_engine as le


def test_json_is_what_the_library_says(cli):
    ended = cli("info", "--json")
    facts = json.loads(ended.out)
    assert ended.code == 0 and ended.err == ""
    assert {name: facts[name] for name in le.info()} == le.info()
    assert facts["packages"]["numpy"]


def test_text_has_a_line_for_each_fact(program):
    ended = program("info", env={"LSTM_ENGINE_NUM_THREADS": "1", "LSTM_ENGINE_ISA": "scalar"})
    lines = dict(line.split(None, 1) for line in ended.out.splitlines())
    assert ended.code == 0 and ended.err == ""
    assert lines["version"] == le.__version__ and lines["isa"] == "scalar"
    assert lines["threads"] == "1"                      # the number one, not "yes"
    assert lines["openmp"] in ("yes", "no")


def test_an_instruction_set_that_is_not_there_fails(program):
    ended = program("info", env={"LSTM_ENGINE_ISA": "mmx"})
    assert ended.code == 1 and ended.out == ""
    assert ended.err.startswith("lstm-engine: error: instruction set 'mmx' is not in this build; it has scalar")
