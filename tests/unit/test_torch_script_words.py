"""The words of TorchScript's language, one by one, against torch.jit: each gives the same numbers, or is refused."""

import math  # noqa: F401  (the bodies name it)

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="makes archives with PyTorch, which is not installed")

import lstm_engine as le  # noqa: E402
from lstm_engine.errors import UnsupportedError  # noqa: E402
from lstm_engine.importers.torch.script.values import CHANGING  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
# One or two float32 operations on numbers below some thousands.
CLOSE = {"rtol": 1e-6, "atol": 1e-5}


class Holds(nn.Module):
    """What the words below may name; `same` is the tensor of `state` and `part` a view of it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.zeros(2, 4))
        self.register_buffer("same", self.state)
        self.register_buffer("other", torch.zeros(2, 4))
        self.register_buffer("seen", torch.zeros(2, 4))
        self.register_buffer("part", self.seen[:1])
        self.register_buffer("number", torch.tensor(3.5))
        self.register_buffer("wide", torch.zeros(2, 4, dtype=torch.float64))
        self.inner = Inner()
        self.again = self.inner
        self.kept = [torch.zeros(2, 4)]
        self.drop = nn.Dropout(0.5, inplace=True)
        self.off = nn.Dropout(0.5)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.zeros(2, 4))

    def forward(self, x):
        self.state += x
        return self.state * 2


def program_of(tmp_path, body, more=""):
    """A program with a body of several lines, loaded as torch does, and its file."""
    made = torch.jit.script(type("Case", (Holds,), {})().eval())         # a class of its own: torch compiles one once
    made.define(f"{more}def forward(self, x):\n" + "".join(f"    {line}\n" for line in body.split("\n")))
    made.save(tmp_path / "m.pt")
    return torch.jit.load(tmp_path / "m.pt"), tmp_path / "m.pt"


def agrees(tmp_path, body, shape, *sizes, calls=1, more=""):
    program, path = program_of(tmp_path, body, more)
    model = le.convert(path, spec={"shapes": {"x": shape}})
    states = {name: np.zeros(info.shape, info.dtype) for name, info in model.inputs.items() if name != "x"}
    for at, size in enumerate(sizes * calls):
        x = np.random.default_rng(at).standard_normal(size).astype(np.float32)
        with torch.no_grad():
            wanted = program(torch.from_numpy(x.copy()))
        wanted = [one.numpy() for one in (wanted if isinstance(wanted, (tuple, list)) else [wanted])]
        given = model.predict({"x": x, **states})
        made = dict(zip(model.outputs, given.values() if isinstance(given, dict) else [given], strict=True))
        states = {name: made[f"{name}_out"] for name in states}
        for ours, theirs in zip(list(made.values())[:len(wanted)], wanted, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, **CLOSE)


def refused(tmp_path, body, message, shape=(2, 4), more=""):
    _, path = program_of(tmp_path, body, more)
    with pytest.raises(UnsupportedError, match=message):
        le.convert(path, spec={"shapes": {"x": list(shape)}})


LIST = "a = [3, 1, 2]\n{}\ns = 0\nfor i in a:\n    s = s * 10 + i\nreturn x * s"
TENSORS = "a = [x, x * 2, x * 3]\n{}\ns = x * 0\nfor i in a:\n    s = s * 10 + i\nreturn s"
DICT = ("d = {{'b': 2, 'a': 1}}\n{}\ns = 0\nfor k, v in d.items():\n    s = s * 10 + v * len(k)\nfor k in d:\n"
        "    s = s * 10 + d[k]\nreturn x * (s + len(d))")
IF = "if {}:\n    return x * 2\nreturn x * 3"
RAISES = "if {}:\n    raise ValueError('no')\nreturn x * 2"


@pytest.mark.parametrize("word", [
    "a.insert(1, 9)", "a.insert(-1, 9)", "a.insert(9, 9)", "a.pop()", "a.pop(0)", "a.reverse()", "a.sort()",
    "a.sort(reverse=True)", "a.remove(3)", "a.clear()", "a.extend([5, 6])", "a[-1] = 8", "del a[0]",
    "a = a.copy()", "a += [7]", "b = a\nb += [7]", "b = a + [7]\nb.append(1)", "a *= 2", "b = a\nb.insert(0, 4)",
    "b = a.copy()\nb.pop()", "b = a[:]\nb.pop()", "a = sorted(a)", "a = a[::-1]", "a = a[5:]", "a[0] += 5",
    "c = a.pop()\na.append(c * 3)", "a.append(a.index(2))", "a.append(a.count(2))", "a = [sum(a), max(a), min(a)]"])
def test_what_is_done_to_lists(tmp_path, word):
    agrees(tmp_path, LIST.format(word), [2, 4], (2, 4))


@pytest.mark.parametrize("word", [
    "a.insert(1, x * 9)", "a.pop()", "a.pop(0)", "a.reverse()", "a.clear()", "del a[0]", "a += [x * 7]", "a = a * 2",
    "b = a\nb.pop()", "b = a + [x]\nb.pop()",
    "a[0] = torch.stack(a).sum(0)\na.append(x)\na[1] = torch.cat(a, 1)[:, 1:5]\na.reverse()"])
def test_what_is_done_to_lists_of_tensors(tmp_path, word):
    agrees(tmp_path, TENSORS.format(word), [2, 4], (2, 4))


@pytest.mark.parametrize("word", [
    "d['c'] = 3", "d['a'] = 9", "d.pop('a')", "del d['a']", "d.clear()", "d.update({'a': 4})", "d.setdefault('q', 4)",
    "d.setdefault('a', 4)", "e = d\ne['z'] = 4", "e = d.copy()\ne['z'] = 4", "d['a'] += 1", "d['z'] = d.pop('b')",
    "if 'a' in d:\n    d['n'] = 1"])
def test_what_is_done_to_dicts(tmp_path, word):
    agrees(tmp_path, DICT.format(word), [2, 4], (2, 4))


def test_what_changes_a_list_and_is_not_known_is_refused(tmp_path):
    refused(tmp_path, "d = {'b': 2, 'a': 1}\nd.popitem()\nreturn x * len(d)", "torch.popitem.* is not supported")


def test_all_that_changes_what_it_is_given_is_known():
    """CHANGING has each operator of torch that writes into an argument and does not end in an underscore."""
    found = {schema.name.partition("::")[2] for schema in torch._C._jit_get_all_schemas()
             if schema.name.startswith("aten::") and not any(one.is_out for one in schema.arguments)
             and any(one.alias_info is not None and one.alias_info.is_write for one in schema.arguments)}
    assert len(found) > 100
    assert {name for name in found if not name.endswith("_") or name.endswith("__")} <= CHANGING


INTS = [(-7, 2), (7, -2), (-7, -2), (7, 3)]
FLOATS = [(-7.5, 2.0), (7.5, -2.0), (-0.0, 2.0), (2.5, 0.5), (-0.5, 1.0)]


def given(tmp_path, value, a, b, check, *message):
    """A number that a method makes of what it is given: torch works out itself what is constant."""
    more = f"def made(self, a: {type(a).__name__}, b: {type(b).__name__}):\n    return {value}\n"
    body = f"return x * self.made({a!r}, {b!r})".replace("inf", "float('inf')").replace("nan", "float('nan')")
    check(tmp_path, body, *(message or ([2, 4], (2, 4))), more=more)


@pytest.mark.parametrize("value, pairs", [
    *((one, INTS + FLOATS) for one in ("a // b", "a % b", "a / b", "a - b", "min(a, b)", "max(a, b)", "abs(a)",
                                       "int(a)", "float(a)", "round(a)", "math.floor(a)", "math.ceil(a)", "math.exp(a)",
                                       "math.fmod(a, b)", "int(bool(a))", "1.0 if a < b else 2.0")),
    *((one, INTS) for one in ("a & b", "a | b", "a ^ b", "divmod(a, b)[0]", "divmod(a, b)[1]", "a ** b",
                              "math.gcd(a, b)")),
    ("a << b", [(-7, 2)]), ("a >> b", [(-7, 2)]), ("a ** b", [(2.5, 0.5)]), ("min(a, b)", [(3, 2.5), (2, 2.5)]),
    ("max(a, b)", [(3, 2.5), (2, 2.5)]), ("a + b", [(True, 3)]), ("math.log(a)", [(5.0, 1)]),
    ("sum([a, b])", [(1.5, 2.0), (1, 2)]), ("len(str(a))", [(12, 1)]), ("a * b", [(float("inf"), 2.0)])])
def test_numbers(tmp_path, value, pairs):
    for a, b in pairs:
        given(tmp_path, value, a, b, agrees)


@pytest.mark.parametrize("value, a, b, message", [
    ("int(a)", float("nan"), 0, "int\\(\\) of nan"), ("int(a)", 1e30, 0, "int\\(\\) of 1e\\+30"),
    ("a % b", -5.0, float("inf"), "infinite divisor"), ("min(a, b)", float("nan"), 1.0, "min of nan"),
    ("max(a, b)", 1.0, float("nan"), "max of nan"), ("a << b", 1, 64, "a shift by 64"),
    ("a * b", 2**62, 4, "beyond 64 bits")])
def test_numbers_that_torch_makes_otherwise_are_refused(tmp_path, value, a, b, message):
    given(tmp_path, value, a, b, refused, message)


@pytest.mark.parametrize("value", ["int(self.number)", "float(self.number)", "self.number.item()"])
def test_numbers_of_buffers(tmp_path, value):
    agrees(tmp_path, f"return x * {value}", [2, 4], (2, 4))


@pytest.mark.parametrize("test", [
    "1 < x.dim() <= 2", "not x.dim() > 2", "[1, 2] == [1, 2]", "(1, 2) != (1, 3)", "'{}'.format(3) == '3'",
    "'a{}b{}'.format(1, 'q') == 'a1bq'", "'{}'.format(True) == 'True'", "3 in [1, 2, 3]", "2.0 in [1.0]",
    "'a' in 'cat'", "any([True, False])", "all([True, False])", "any([0, 2])", "bool(0.0)", "x.dtype == torch.float32",
    "x.device == self.state.device", "x is x", "x is None", "isinstance([1], List[int])", "isinstance(x, Tensor)"])
def test_what_is_true(tmp_path, test):
    agrees(tmp_path, IF.format(test), [2, 4], (2, 4))


@pytest.mark.parametrize("test", ["x.contiguous() is x", "x * 1 is not x", "x[:] is x"])
def test_whether_two_tensors_are_one_object_is_refused(tmp_path, test):
    refused(tmp_path, IF.format(test), "are one object is not supported")


@pytest.mark.parametrize("body", [
    "for i in range(6):\n    if i == 3:\n        return x * i\n    x = x + i\nreturn x",
    "s = 0\nfor i in range(4):\n    for j in range(5):\n        if j > i:\n            break\n        if j == 1:\n"
    "            continue\n        s = s * 3 + i + j\n    if s > 1000:\n        return x - s\nreturn x * s",
    "if x.dim() == 2:\n    if x.size(-1) == 4:\n        return x * 2\n    y = x * 5\nelse:\n    y = x * 7\n"
    "return y * 3",
    "s = 1\nwhile True:\n    s = s * 2 + 1\n    if s > 50:\n        break\nreturn x * s",
    "s = 0\nfor i in range(5, -3, -2):\n    s = s * 10 + i\nreturn x * s",
    "a = [1, 2]\ns = 0\nfor i in a:\n    s = s * 10 + i\n    if len(a) < 4:\n        a.append(i + 5)\nreturn x * s",
    "s = 0\nfor i, (j, k) in enumerate(zip([5, 6], [1, 2])):\n    s = s * 10 + i * j + k\nreturn x * s",
    "a = [0]\nfor i in range(3000):\n    a.append(i)\nreturn x * len(a)",
    "print('x', x.size(0))\nreturn self.drop(x * 2)",
    "return x * torch.tensor([1.5, 2.0, 3.0, 4.0]) + torch.tensor(2) + torch.tensor([[True, False, True, True]])",
    "y = x * 1\ny[0, 1] = 3.0\ny[x > 0] = 2.0\ny[[1]] = x[[0]]\nreturn y",
    "y = x > 0\ny &= x < 1\ny |= x < -1\nreturn x * y"])
def test_the_way_through_the_code(tmp_path, body):
    agrees(tmp_path, body, [2, 4], (2, 4))


# Conditions on sizes that are open: what is refused is what raises, whichever way they are joined.

@pytest.mark.parametrize("test", [
    "x.size(1) > 4", "not x.size(1) > 4", "x.size(0) > 1 and x.size(1) > 4", "x.size(0) > 2 or x.size(1) > 4",
    "not (x.size(0) > 1 and x.size(1) > 4)", "not (x.size(0) == 2) and not (x.size(1) == 3)",
    "x.size(0) > 1 and x.size(2) == 4", "x.shape == [2, 3, 4]", "x.shape != [2, 3, 4]",
    "(x.size(0), x.size(1)) == (2, 3)", "x.size(1) in [2, 3]", "x.size(0) > 3 and not x.size(1) > 4 or x.size(0) == 1",
    "max(x.size(0), 2) > 2", "x.size(0) % 2 == 1", "any([x.size(0) > 2, x.size(1) == 3])"])
def test_conditions_on_sizes(tmp_path, test):
    program, path = program_of(tmp_path, RAISES.format(test))
    model = le.convert(path, spec={"shapes": {"x": ["batch", "time", 4]}})
    ways = set()
    for size in [(1, 1, 4), (2, 3, 4), (3, 5, 4), (1, 7, 4), (6, 2, 4), (2, 1, 4)]:
        x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        try:
            wanted = program(torch.from_numpy(x)).numpy()
        except torch.jit.Error:
            ways.add("raises")
            with pytest.raises(le.LstmEngineError):
                model.predict(x)
        else:
            ways.add("runs")
            np.testing.assert_array_equal(model.predict(x), wanted)
    assert ways == {"raises", "runs"}


def test_a_branch_on_an_open_size_that_computes_is_refused(tmp_path):
    for body in ("if x.size(0) > 2:\n    y = x * 2\nelse:\n    y = x * 3\nreturn y",
                 "if x.size(0) > 2 and 8 // (x.size(1) - 3) > 1:\n    raise ValueError('no')\nreturn x"):
        refused(tmp_path, body, "a branch in line .* depends on a size of the inputs", ("batch", "time", 4))


def test_a_change_in_place_does_not_spread_what_it_changes(tmp_path):
    program, path = program_of(tmp_path, "y = x[:1] * 1\ny += x\nreturn y")
    model = le.convert(path, spec={"shapes": {"x": ["batch", 4]}})
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(model.predict(x), program(torch.from_numpy(x)).numpy())
    with pytest.raises(le.LstmEngineError):
        model.predict(np.ones((3, 4), np.float32))


# Tensors that calls change.

@pytest.mark.parametrize("body", [
    "self.state += x\nreturn self.same * 2", "self.same.copy_(x + self.state)\nreturn self.state * 2",
    "self.state = self.state + x\nreturn self.state * 2 + self.same",
    "v = self.state[0]\nv += x[0]\nreturn self.same * 2",
    "y = self.inner(x)\nreturn self.inner(x) + self.again(x) + y", "self.again.state += x\nreturn self.inner.state * 2",
    "self.again.state = x\nself.inner.state = self.again.state * 2\nreturn self.inner.state * 2",
    "a = self.other\nself.other = x * 2\na = a * 2\nreturn a + self.other", "self.other.zero_()\nreturn self.other + x",
    "self.other[x > 0] = 1.0\nself.other[0, 1] = 3.0\nreturn self.other * 1",
    "self.other[:, 1:] = x[:, 1:]\nself.other = torch.roll(self.other, 1, 0)\nreturn self.other * 1",
    "with torch.no_grad():\n    self.other += x\nreturn self.other * 2", "self.wide += x\nreturn self.wide * 2"])
def test_tensors_that_calls_change(tmp_path, body):
    agrees(tmp_path, body, [2, 4], (2, 4), calls=3)


@pytest.mark.parametrize("body, message", [
    ("self.seen += x\nreturn self.part * 2", "changes 'seen' in place, whose memory other attributes have, too"),
    ("self.part += 1\nreturn self.seen * 2", "changes 'part' in place, whose memory other attributes have, too"),
    ("self.state += x\nself.same = x * 2\nreturn self.state * 1", "assigns to the attribute 'same'.*other attributes"),
    ("self.other += x\nself.state = self.other\nreturn self.state * 1", "'other' becomes the memory of something else"),
    ("self.other = x\nself.other += 1\nreturn self.other * 1", "an input or a weight"),
    ("y = self.other + 1\nself.other += x\nself.other = x\nreturn y", "'other' becomes the memory of something else"),
    ("self.wide = x * 1\nreturn self.wide * 2", "'wide' is float64 .* and float32 .* when it ends"),
    ("self.other = torch.cat([self.other, x], 0)\nreturn x * 1", "'other' is float32 \\[2, 4\\] .* float32 \\[4, 4\\]"),
    ("self.kept[0] = x\nreturn x * 1", "it changes a list or dict that it keeps"),
    ("y = self.off(self.other)\ny += 1\nreturn self.other * 1", "which may share its memory")])
def test_what_calls_change_and_is_not_followed_is_refused(tmp_path, body, message):
    refused(tmp_path, body, message)
