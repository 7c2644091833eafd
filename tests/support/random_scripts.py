"""Random bodies of TorchScript methods: tensors, sizes, lists, dicts, loops, branches, functions and what calls change.

All are right programs, in what the importer follows."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import nn

STEPS = 3  # calls that follow each other


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.register_buffer("state", torch.zeros(4))

    def forward(self, x, times: int = 2):
        y = self.lin(x)
        for at in range(times):
            if at == 3:
                break
            y = torch.tanh(y) + x * at
        return y

    def keeps(self, x):
        self.state += x.mean(0) * 0.5
        return x + self.state


class Holds(nn.Module):
    """What the bodies name. `same` is the module `inner`, `twin` the tensor `state`."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.lin = Inner(), nn.Linear(4, 4)
        self.same = self.inner
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.register_buffer("state", torch.zeros(4))
        self.register_buffer("twin", self.state)
        self.register_buffer("other", torch.zeros(4))
        self.factors = [0.5, 1.5]
        self.kind = "mean"


class Body:
    """Lines of one method. names: seq [batch, time, 4], vec [batch, 4], num (a known int), size (an open one), and
    lists and dicts of seq."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.indent = 1
        self.count = 0
        self.names: dict[str, list[str]] = {"seq": ["x"], "vec": [], "num": [], "size": [], "list": [], "dict": []}

    def add(self, line: str) -> None:
        self.lines += ["    " * self.indent + one for one in line.split("\n")]

    def new(self, kind: str, value: str) -> str:
        name = f"{kind}{self.count}"
        self.count += 1
        self.add(f"{name} = {value}")
        self.names[kind].append(name)
        return name

    def pick(self, kind: str) -> str:
        """A name of a kind, made where there is none."""
        if not self.names[kind]:
            self.new(
                kind,
                {
                    "vec": "x[:, -1] * 1",
                    "num": str(self.random.randint(-5, 7)),
                    "size": "x.size(1)",
                    "list": "[x, x * 2]",
                    "dict": "{'b': x * 2, 'a': x}",
                }[kind],
            )
        return self.random.choice(self.names[kind])

    def number(self) -> str:
        """An int that is known."""
        a, b = self.pick("num"), self.random.choice([-3, -2, 2, 3, 5])
        return self.random.choice(
            [
                f"{a} // {b}",
                f"{a} % {b}",
                f"int({a} / {b})",
                f"-{a}",
                f"abs({a})",
                f"min({a}, {b})",
                f"max({a}, {b})",
                f"{a} + {b}",
                f"{a} * {b} % 11",
                f"len(self.factors) + {a}",
                f"x.dim() - {a}",
                f"({a} & 3) | 1",
            ]
        )

    def size(self) -> str:
        a = self.pick("size")
        return self.random.choice(
            [
                f"{a} * 2",
                f"{a} + 1",
                f"({a} + 2) // 2",
                f"{a} % 3 + 1",
                f"x.size(0) + {a}",
                f"max({a}, 2)",
                "x.size(1)",
                "len(x)",
                f"{a} - x.size(1) + 1",
            ]
        )

    def test(self) -> str:
        """A condition that is known."""
        a, b = self.pick("num"), self.random.randint(-2, 4)
        return self.random.choice(
            [
                f"{a} > {b}",
                f"{a} == {b} or {b} < 2",
                f"not {a} <= {b}",
                "self.kind == 'mean'",
                f"{a} in [0, {b}]",
                "x.dim() == 3 and x.size(-1) == 4",
                f"{a} % 2 == 0",
            ]
        )

    def seq(self) -> str:
        a, b, n, size = self.pick("seq"), self.pick("seq"), self.pick("num"), self.pick("size")
        vec = self.pick("vec")
        return self.random.choice(
            [
                f"torch.tanh({a})",
                f"{a} + {b}",
                f"{a} * 0.5 - {b}",
                f"self.lin({a})",
                f"self.inner({a}, {n})",
                f"-{a}",
                f"self.same({a})",
                f"torch.tanh({a} * {n})",
                f"{a} / (1 + abs({n}))",
                f"torch.tanh({a}) + {vec}.unsqueeze(1)",
                f"self.gru({a})[0]",
                f"{a}.flip(1)",
                f"torch.cat([{a}, {b}], -1)[..., 1:5]",
                f"{a}.clamp(-1, 1) * {size}",
                f"{a}.reshape({a}.size(0) * {a}.size(1), 4).reshape({a}.shape)",
                f"torch.where({a} > 0, {a}, {b} * 0.1)",
                f"{a}.transpose(1, 2).softmax(1).transpose(1, 2)",
                f"{a} * self.factors[{n} % 2]",
                f"{a} + torch.arange({a}.size(1)).unsqueeze(-1) * 0.1",
                f"{a} + torch.zeros({a}.size(0), 1, 4)",
                f"{a}.masked_fill({b} > 0.5, 0.25)",
                f"{a} + self.state",
                f"{a} * torch.tensor([1.0, 2.0, 0.5, 0.1])",
            ]
        )

    def vec(self) -> str:
        a, v, n, size = self.pick("seq"), self.pick("vec"), self.pick("num"), self.pick("size")
        return self.random.choice(
            [
                f"{a}[:, -1]",
                f"{a}.mean(1)",
                f"{a}.sum(1) / {a}.size(1)",
                f"{v} + {a}[:, 0]",
                f"torch.sigmoid({v})",
                f"self.lin({v})",
                f"{v} * {n} * 0.1",
                f"{a}.amax(1)",
                f"self.gru({a})[1][0]",
                f"{v} + self.other",
                f"self.inner({v}, 1)",
                f"{v} / {size}",
                f"{a}.select(1, {a}.size(1) - 1)",
                f"torch.stack([{v}, {v} * 2])[1]",
            ]
        )

    # Statements.

    def assign(self) -> None:
        kind = self.random.choice(["seq", "seq", "vec", "num", "size"])
        value = {"seq": self.seq, "vec": self.vec, "num": self.number, "size": self.size}[kind]()
        if self.indent > 1 and (names := [name for name in self.names[kind] if name != "x"]):
            self.add(f"{self.random.choice(names)} = {value}")
        elif self.indent == 1:
            self.new(kind, value)

    def in_place(self) -> None:
        a = self.new("seq", f"{self.pick('seq')} * 1") if self.indent == 1 else None
        if a is not None:
            self.add(
                self.random.choice(
                    [
                        f"{a} += {self.pick('seq')}",
                        f"{a}[:, 0] = {self.pick('vec')}",
                        f"{a}[{a} > 1] = 0.5",
                        f"{a}[:, :, 1:3] *= 2",
                        f"{a}.select(2, 0).add_(1)",
                        f"{a}.clamp_(-1, 1).mul_(3)",
                        f"{a}.view(-1)[:2].zero_()",
                        f"{a}[:, -1].copy_({a}[:, 0] * 2)",
                    ]
                )
            )

    def of_list(self) -> None:
        a, v = self.pick("list"), self.pick("seq")
        self.add(
            self.random.choice(
                [
                    f"{a}.append({v} * 1)",
                    f"{a}.insert(0, {v})",
                    f"{a}.insert(-1, {v})",
                    f"{a}.reverse()",
                    f"{a}.extend([{v}])",
                    f"{a}[0] = {v}",
                    f"{a}[-1] = {a}[0] + {v}",
                    f"{a} += [{v}]",
                    f"{a}.append({a}.pop(0))",
                    f"{a} = {a}[::-1]",
                    f"{a} = {a} + [{v}]",
                    f"{a} = {a}[:1] * 2",
                    f"{a}.append({a}[0])\n{a}.pop(1)",
                    f"{a} += {a}[:1]\ndel {a}[1]",
                ]
            )
        )
        if self.indent == 1:
            self.new(
                "seq", self.random.choice([f"{a}[0]", f"{a}[-1]", f"torch.stack({a}).mean(0)", f"{a}[0] * len({a})"])
            )

    def of_dict(self) -> None:
        a, v = self.pick("dict"), self.pick("seq")
        self.add(
            self.random.choice(
                [
                    f"{a}['a'] = {v}",
                    f"{a}['c'] = {v}",
                    f"{a}['b'] = {a}['a'] + {v}",
                    f"{a}.update({{'a': {v}}})",
                    f"{a}['z'] = {v}\ndel {a}['z']",
                    f"{a}.setdefault('d', {v})",
                    f"{a}['b'] = {a}.pop('b') * 0.5",
                ]
            )
        )
        if self.indent == 1:
            self.new(
                "seq", self.random.choice([f"{a}['a']", f"{a}['b'] * len({a})", f"torch.stack(list({a}.values()))[-1]"])
            )

    def state(self) -> None:
        v = f"{self.pick('vec')}.mean(0) * 0.1"
        self.add(
            self.random.choice(
                [
                    f"self.state += {v}",
                    f"self.twin.mul_(0.5).add_({v})",
                    f"self.state[1:] = ({v})[:3]",
                    f"self.other = {v}",
                    f"self.other = self.other * 0.5 + {v}",
                    f"self.other.copy_({v} + self.state)",
                    "self.other[0] += 1.0",
                    f"self.inner.state.add_({v})",
                    "self.same.state *= 0.5",
                ]
            )
        )
        if self.indent == 1:
            self.new(
                "vec",
                self.random.choice(
                    [
                        f"self.inner.keeps({self.pick('vec')})",
                        f"{self.pick('vec')} + self.twin",
                        f"{self.pick('vec')} - self.other",
                        f"self.same.state + {self.pick('vec')}",
                    ]
                ),
            )

    def loop(self) -> None:
        at = f"i{self.count}"
        self.count += 1
        items = self.random.choice(
            [
                "range(3)",
                f"range({self.random.randint(0, 3)}, 6, 2)",
                "range(2, -2, -1)",
                f"range({self.pick('num')} % 4)",
            ]
        )
        self.add(f"for {at} in {items}:")
        self.within(at)
        if self.random.random() < 0.3:
            self.indent += 1
            self.add(f"if {at} == {self.random.randint(0, 3)}:")
            self.add("    " + self.random.choice(["break", "continue", "break"]))
            self.within_more()
            self.indent -= 1

    def branch(self) -> None:
        self.add(f"if {self.test()}:")
        self.within(None)
        if self.random.random() < 0.5:
            self.add("else:")
            self.within(None)

    def within(self, number: str | None) -> None:
        """One to three statements that only change what is there, one block deeper."""
        self.pick("vec"), self.pick("num"), self.pick("size")
        self.indent += 1
        held = {kind: list(names) for kind, names in self.names.items()}
        if number is not None:
            self.names["num"].append(number)
        before = len(self.lines)
        self.within_more()
        self.names = held
        if len(self.lines) == before:
            self.add("pass")
        self.indent -= 1

    def within_more(self) -> None:
        for _ in range(self.random.randint(1, 2)):
            deep = [self.loop, self.branch] if self.indent < 3 else []
            ways: list[Callable[[], None]] = [self.change, self.change, self.change_list, *deep]
            self.random.choice(ways)()

    def change(self) -> None:
        kinds = [kind for kind in ("seq", "vec", "num") if [name for name in self.names[kind] if name[0] not in "xi"]]
        if not kinds:
            return
        kind = self.random.choice(kinds)
        names = [name for name in self.names[kind] if name[0] not in "xi"]
        value = {"seq": self.seq, "vec": self.vec, "num": self.number}[kind]()
        self.add(f"{self.random.choice(names)} = {value}")

    def change_list(self) -> None:
        if self.names["list"]:
            self.of_list()

    def raises(self) -> None:
        a, b = self.pick("size"), self.random.randint(-1, 1)
        self.add(
            f"if {self.random.choice([f'{a} < {b}', f'x.size(1) > 90 or {a} < {b}', f'x.size(0) > 90 and {a} > 1'])}:"
        )
        self.add("    raise ValueError('no')")

    def made(self) -> str:
        if self.random.random() < 0.2:
            self.add("if x.dim() == 2:")
            self.add("    return x, x")
        for _ in range(self.random.randint(3, 9)):
            self.pick("vec"), self.pick("num"), self.pick("size"), self.pick("list")
            self.random.choice(
                [
                    self.assign,
                    self.assign,
                    self.in_place,
                    self.of_list,
                    self.of_dict,
                    self.state,
                    self.loop,
                    self.branch,
                    self.raises,
                ]
            )()
        self.add(f"return {self.names['seq'][-1]} * 1, {self.names['vec'][-1]} * {self.names['num'][-1]}")
        return "def forward(self, x):\n" + "\n".join(self.lines) + "\n"


def module_of(seed: int) -> tuple[torch.jit.ScriptModule, str]:
    """A scripted module and the source of its method."""
    torch.manual_seed(seed)
    source = Body(seed).made()
    made = torch.jit.script(type("Case", (Holds,), {})().eval())  # a class of its own: torch compiles one once
    made.define(source)
    return made, source
