"""The restricted unpickler: what it makes of each opcode, and where its limits are."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest
from torch_bytes import MARK, call, items, listed, mapping, number, pickled, symbol, text

from lstm_engine.errors import FormatError
from lstm_engine.importers.torch.checkpoints import unpickle as machine
from lstm_engine.importers.torch.checkpoints.symbols import Instance, Opaque, Symbol
from lstm_engine.importers.torch.checkpoints.unpickle import unpickle


def no_persistent(identity):
    raise FormatError("no persistent ids here")


def load(data: bytes):
    value, end = unpickle(data, "data.pkl", no_persistent)
    assert end == len(data)
    return value


PLAIN = [None, True, False, 0, 255, 65535, -1, 2**31 - 1, -2**31, 2**40, -2**40, 2**128 - 1, -2**127,
         1.5, float("inf"), "", "déjà vu", b"", b"bytes", (),
         (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, [2, [3]]], {}, {"a": 1, 2: "b", None: 3.5},
         {"nested": {"a": [1, (2, 3)]}}, "x" * 300, ["same", "same"]]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:20])
def test_plain_data_is_what_pickle_wrote(value, protocol):
    if isinstance(value, bytes):
        protocol = max(protocol, 3)            # protocol 2 writes bytes as a call of _codecs.encode
    assert load(pickle.dumps(value, protocol)) == value


def test_an_ordered_dict_is_a_dict_and_its_attributes_are_dropped():
    ordered = OrderedDict(a=1, b=2)
    ordered._metadata = {"": {"version": 1}}
    assert load(pickle.dumps(ordered, 2)) == {"a": 1, "b": 2}


def test_globals_stay_names():
    value = load(pickled(listed(symbol("os", "system"), symbol("no.such.module", "thing"))))
    assert value == [Symbol("os", "system"), Symbol("no.such.module", "thing")]


def test_objects_of_any_class_are_data():
    value = load(pickled(symbol("my.net", "Config") + items(number(7)) + b"\x81" + mapping({"lr": number(3)}) + b"b"))
    assert isinstance(value, Instance)
    assert (value.symbol, value.arguments, value.state) == (Symbol("my.net", "Config"), (7,), {"lr": 3})


def test_values_of_known_harmless_kinds_are_opaque():
    assert isinstance(load(pickled(call(symbol("pathlib", "PosixPath"), text("/tmp")))), Opaque)


def test_keys_that_are_no_plain_values_are_equal_to_nothing_else():
    """Nothing of theirs is hashed: two of one value stay two entries."""
    value = load(pickled(b"}" + MARK + b")N)Nu"))
    assert [str(key) for key in value] == ["<tuple>", "<tuple>"]


@pytest.mark.parametrize("module, name", [("collections", "deque"), ("functools", "partial"), ("my.net", "Color"),
                                          ("__builtin__", "slice"), ("__builtin__", "xrange"), ("re", "_compile"),
                                          ("my.fast", "__pyx_unpickle_Enum"), ("numpy.random._pickle",
                                                                              "__generator_ctor")])
def test_company_is_kept_as_a_record_of_what_it_says(module, name):
    value = load(pickled(call(symbol(module, name), text("a"), number(2))))
    assert isinstance(value, Instance) and value.called
    assert (value.symbol, value.arguments) == (Symbol(module, name), ("a", 2))


@pytest.mark.parametrize("module, name", [("subprocess", "Popen"), ("torch.jit", "Evil"), ("numpy.testing", "Tester"),
                                          ("my.net", "run"), ("builtins", "eval"), ("functools", "reduce")])
def test_functions_and_what_is_of_python_are_called_in_no_checkpoint(module, name):
    with pytest.raises(FormatError, match=f"calls '{module}.{name}', which is not among what a checkpoint may rebuild"):
        load(pickled(call(symbol(module, name), text("a"))))


def test_shared_objects_are_one():
    first, second = load(pickle.dumps([shared := [1], shared], 2))
    assert first is second


def test_sets_are_lists_of_their_items():
    assert sorted(load(pickle.dumps({1, 2, 3}, 4))) == [1, 2, 3]
    assert sorted(load(pickle.dumps({1, 2, 3}, 2))) == [1, 2, 3]


@pytest.mark.parametrize("data, message", [
    (b"", "data.pkl: byte 0: 1 bytes are needed, 0 are left"),
    (b"\x80\x02", "data.pkl: byte 2: 1 bytes are needed, 0 are left"),
    (b"\x80\x01N.", "data.pkl: byte 0: pickle protocol 1; supported: 2 to 5"),
    (b"\x80\x06N.", "data.pkl: byte 0: pickle protocol 6; supported: 2 to 5"),
    (b"\x80\x02.", "data.pkl: byte 2: the stack is empty"),
    (b"\x80\x02NN.", "data.pkl: byte 4: STOP leaves 1 objects on the stack"),
    (b"\x80\x02(N.", "data.pkl: byte 4: STOP leaves 1 objects on the stack"),
    (b"\x80\x02Nt.", "data.pkl: byte 3: no MARK on the stack"),
    (b"\x80\x02h\x05.", "data.pkl: byte 2: memo index 5 was never set"),
    (b"\x80\x02(q\x00.", "data.pkl: byte 3: nothing to memoize"),
    (b"\x80\x02Nr\xff\xff\xff\xff.", "data.pkl: byte 3: memo index 4294967295; at most 1000000 are allowed"),
    (b"\x80\x02X\xff\xff\xff\xffab.", "data.pkl: byte 2: 4294967295 bytes are needed, 3 are left"),
    (b"\x80\x02X\x01\x00\x00\x00\xff.", "data.pkl: byte 2: text that is not UTF-8"),
    (b"\x80\x02\x8a\x11" + bytes(16) + b"\x01.",
     "data.pkl: byte 2: an integer of 17 bytes; at most 16 are allowed"),
    (b"\x80\x02\x8a\x20" + bytes(32) + b".", "data.pkl: byte 2: an integer of 32 bytes; at most 16 are allowed"),
    (b"\x80\x02cos\nsystem", "data.pkl: byte 2: a name without an end in 512 bytes"),
    (b"\x80\x02c" + b"a" * 600 + b"\nb\n.", "data.pkl: byte 2: a name without an end in 512 bytes"),
    (b"\x80\x02NK\x01\x93.", "data.pkl: byte 5: a global named by a NoneType and a int"),
    (b"\x80\x02}(N)u.", None),
    (b"\x80\x02}(Nu.", "data.pkl: byte 5: SETITEMS of a key without a value"),
    (b"\x80\x02](NNu.", "data.pkl: byte 6: SETITEM(S) needs a dict, got list"),
    (b"\x80\x02}Na.", "data.pkl: byte 4: APPEND(S) needs a list, got dict"),
    (b"\x80\x02)Q.", "data.pkl: byte 3: opcode BINPERSID: no persistent ids here"),
    (b"\x80\x02N)R.", "data.pkl: byte 4: opcode REDUCE: a NoneType applied to a tuple"),
    (b"\x80\x02N)\x81.", "data.pkl: byte 4: opcode NEWOBJ: an object of a NoneType made from a tuple"),
    (b"\x80\x02N}b.", "data.pkl: byte 4: opcode BUILD: sets the state of a NoneType"),
    (b"\x80\x02ios\nsystem\n.", "data.pkl: byte 2: opcode INST is not allowed"),
    (b"\x80\x02(cos\nsystem\no.", "data.pkl: byte 14: opcode OBJ is not allowed"),
    (b"\x80\x02\x82\x01.", "data.pkl: byte 2: opcode EXT1 is not allowed"),
    (b"\x80\x02\x92.", "data.pkl: byte 2: opcode NEWOBJ_EX is not allowed"),
    (b"\x80\x02P1\n.", "data.pkl: byte 2: opcode PERSID is not allowed"),
    (b"\x80\x02\xff.", "data.pkl: byte 2: opcode 0xff is not allowed"),
])
def test_bad_pickles(data, message):
    if message is None:
        assert load(data) == {None: ()}
        return
    with pytest.raises(FormatError) as caught:
        load(data)
    assert str(caught.value) == message


def test_what_is_not_in_the_table_cannot_be_called():
    with pytest.raises(FormatError) as caught:
        load(pickled(call(symbol("posix", "system"), text("id"))))
    assert str(caught.value) == ("data.pkl: byte 25: opcode REDUCE: calls 'posix.system', which is not among what a "
                                 "checkpoint may rebuild")


def test_the_number_of_opcodes_is_limited():
    with pytest.raises(FormatError, match="^data.pkl: byte 1000000: more than 1000000 opcodes$"):
        load(b"\x80\x02" + b"N" * 1_000_001 + b".")


def test_the_size_of_a_pickle_is_limited(monkeypatch):
    monkeypatch.setattr(machine, "MAX_BYTES", 100)
    with pytest.raises(FormatError, match="^data.pkl: byte 2: more than 100 bytes of pickle$"):
        load(pickled(text("x" * 200)))


def test_the_number_of_open_tuples_is_limited():
    with pytest.raises(FormatError, match="^data.pkl: byte 258: more than 256 tuples or lists open at once$"):
        load(b"\x80\x02" + MARK * 300)


def test_a_pickle_may_stand_anywhere():
    data = b"junk" + pickled(number(1)) + b"more"
    value, end = unpickle(data, "data.pkl", no_persistent, 4)
    assert (value, data[end:]) == (1, b"more")
