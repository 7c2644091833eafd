"""The small language in which TorchScript writes its programs: looks like Python, is read here and never run.

    module      class and def, one after the other
    statements  a = x, a, b, = x, a : T = x, self.a = x, return, if, for, while, with, pass, a call
    expressions names, attributes, calls, [index], tuples, lists, dicts, numbers, texts

Whatever else a file holds is an error with its line. Nesting is bounded, so that reading is.
Source of the language: torch/csrc/jit/serialization/python_print.cpp.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from ....errors import FormatError
from .tree import (
    Assign,
    Attribute,
    CallOf,
    Class,
    Constant,
    Function,
    If,
    Index,
    Loop,
    Name,
    Parameter,
    Return,
    Run,
    Several,
    With,
)

MAX_DEPTH = 60
_TOKEN = re.compile(r"""(?P<space>[ \t]+|\#[^\n]*)|(?P<line>\n[ \t]*)|(?P<name>[A-Za-z_]\w*)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?j?)
    |(?P<text>"(?:[^"\\\n]|\\.){0,100000}"
    |'(?:[^'\\\n]|\\.){0,100000}')
    |(?P<sign>->|[()\[\]{},:.=*-])""", re.VERBOSE)
_REAL = {"inf": float("inf"), "nan": float("nan")}
_OPEN, _CLOSE = "([{", ")]}"


def parse(text: str, where: str) -> tuple[dict[str, Class], dict[str, Function]]:
    """The classes and functions of one file, by name. Raises FormatError with the line."""
    return _Parser(text, where).module()


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self.tokens = list(self._tokens(text))
        self.at = self.depth = 0

    def _tokens(self, text: str) -> Iterator[tuple[str, str, int]]:
        """(kind, text, line): names, numbers, texts, signs, and "<new>", "<in>", "<out>" where lines and blocks begin
        and end."""
        at, line, open_, indents, last = 0, 1, 0, [0], "<new>"
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self.fail(f"{text[at:at + 20]!r} is not of its language", line)
            kind, token, at = str(match.lastgroup), match.group(), match.end()
            if kind == "line":
                line += 1
                blank = at == len(text) or text[at] in "\n#"
                if open_ or blank:
                    continue
                width = len(token) - 1
                if last != "<new>":
                    yield "<new>", "", line
                    last = "<new>"
                if width > indents[-1]:
                    indents.append(width)
                    yield "<in>", "", line
                while width < indents[-1]:
                    indents.pop()
                    yield "<out>", "", line
                if width != indents[-1] or len(indents) > MAX_DEPTH:
                    self.fail("a line is indented as none before it, or too deeply", line)
            elif kind != "space":
                open_ += (token in _OPEN) - (token in _CLOSE) if kind == "sign" else 0
                last = kind
                yield f"<{kind}>", token, line
        yield "<new>", "", line
        for _ in indents[1:]:
            yield "<out>", "", line
        yield "<end>", "", line

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        raise FormatError(f"{self.where}, line {self.tokens[self.at][2] if line is None else line}: {message:.200}")

    # Tokens.

    def peek(self, token: str, ahead: int = 0) -> bool:
        """Whether a token of a kind (such as "<name>"), or this very name or sign, comes next."""
        kind, text, _ = self.tokens[min(self.at + ahead, len(self.tokens) - 1)]
        return kind == token if token[0] == "<" else kind in ("<sign>", "<name>") and text == token

    def take(self, token: str) -> bool:
        if self.peek(token):
            self.at += 1
            return True
        return False

    def expect(self, token: str) -> str:
        text = self.tokens[self.at][1]
        if not self.take(token):
            self.fail(f"expected {token!r}, found {text!r:.40}")
        return text

    @property
    def line(self) -> int:
        return self.tokens[self.at][2]

    # Files, classes, functions.

    def module(self) -> tuple[dict[str, Class], dict[str, Function]]:
        classes: dict[str, Class] = {}
        functions: dict[str, Function] = {}
        while not self.take("<end>"):
            if self.take("<new>"):
                continue
            made: Class | Function = self.klass() if self.take("class") else self.function()
            if made.name in classes or made.name in functions:
                self.fail(f"{made.name!r} is there twice")
            if isinstance(made, Class):
                classes[made.name] = made
            else:
                functions[made.name] = made
        return classes, functions

    def klass(self) -> Class:
        name, base = self.expect("<name>"), ""
        if self.take("("):
            base = self.expect("<name>")
            while self.take("."):
                base += f".{self.expect('<name>')}"
            self.expect(")")
        self.expect(":")
        self.expect("<new>")
        made = Class(name, base)
        if not self.take("<in>"):
            return made
        while not self.take("<out>"):
            if self.take("pass"):
                self.expect("<new>")
            elif self.peek("def"):
                method = self.function()
                if method.name in made.methods:
                    self.fail(f"{method.name!r} is there twice")
                made.methods[method.name] = method
            else:
                self.field(made)
        return made

    def field(self, made: Class) -> None:
        name = self.expect("<name>")
        if self.take("["):                      # __annotations__["0"] = T, of names that are none of Python's
            name = self.constant(self.expect("<text>"))
            self.expect("]")
            self.expect("=")
            entry = self.expression(), None
        else:
            type_ = self.expression() if self.take(":") else None
            entry = type_, self.expression() if self.take("=") else None
        self.expect("<new>")
        if name in made.fields:
            self.fail(f"{name!r:.100} is there twice")
        made.fields[name] = entry

    def function(self) -> Function:
        self.expect("def")
        name = self.expect("<name>")
        self.expect("(")
        parameters: list[Parameter] = []
        while not self.take(")"):
            called = self.expect("<name>")
            type_ = self.expression() if self.take(":") else None
            parameters.append(Parameter(called, type_, self.expression() if self.take("=") else None))
            if not self.peek(")"):
                self.expect(",")
        if len({parameter.name for parameter in parameters}) != len(parameters):
            self.fail(f"two parameters of {name!r} have one name")
        if self.take("->"):
            self.expression()
        self.expect(":")
        return Function(name, tuple(parameters), self.block())

    def block(self) -> tuple[Any, ...]:
        self.expect("<new>")
        self.expect("<in>")
        made: list[Any] = []
        while not self.take("<out>"):
            made.append(self.statement())
        return tuple(made)

    # Statements.

    def statement(self) -> Any:
        line = self.line
        if self.take("pass"):
            self.expect("<new>")
            return None
        if self.take("return"):
            value = Constant(None) if self.peek("<new>") else self.several()
            self.expect("<new>")
            return Return(value)
        if self.take("if"):
            test = self.expression()
            self.expect(":")
            then, otherwise = self.block(), ()
            if self.take("else"):
                self.expect(":")
                otherwise = self.block()
            return If(test, then, otherwise, line)
        if self.take("for"):
            target = self.expect("<name>")
            self.expect("in")
            return self.loop(target, line)
        if self.take("while"):
            return self.loop(None, line)
        if self.take("with"):
            value = self.expression()
            if self.take("as"):
                self.expect("<name>")
            self.expect(":")
            return With(value, self.block(), line)
        return self.assignment(line)

    def loop(self, target: str | None, line: int) -> Loop:
        value = self.expression()
        self.expect(":")
        return Loop(target, value, self.block(), line)

    def assignment(self, line: int) -> Any:
        first = self.several()
        if self.take(":"):
            self.expression()
        elif not self.peek("="):
            self.expect("<new>")
            return Run(first, line)
        self.expect("=")
        value = self.several()
        self.expect("<new>")
        many = isinstance(first, Several) and first.kind == "()"
        targets = first.items if many else (first,)
        if not all(isinstance(target, Name) or isinstance(target, Attribute) and not many for target in targets):
            self.fail("only names and attributes are assigned to", line)
        return Assign(targets, value, many, line)

    # Expressions.

    def several(self) -> Any:
        """An expression, or several with commas between."""
        first = self.expression()
        if not self.peek(","):
            return first
        items = [first]
        while self.take(","):
            if self.peek("=") or self.peek("<new>"):
                break
            items.append(self.expression())
        return Several("()", tuple(items))

    def expression(self) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail("it is nested too deeply")
        made = self.negative() if self.take("-") else self.atom()
        count = 0
        while True:
            count += 1
            if count > MAX_DEPTH:
                self.fail("it is nested too deeply")
            line = self.line
            if self.take("."):
                made = Attribute(made, self.expect("<name>"))
            elif self.take("("):
                made = self.call(made, line)
            elif self.take("["):
                made = Index(made, self.items("]"))
            else:
                break
        self.depth -= 1
        return made

    def negative(self) -> Constant:
        if (name := self.tokens[self.at][1]) in _REAL:
            self.at += 1
            return Constant(-_REAL[name])
        return Constant(-self.constant(self.expect("<number>")))

    def atom(self) -> Any:
        kind, token, _ = self.tokens[self.at]
        self.at += 1
        if kind == "<number>":
            return Constant(self.constant(token))
        if kind == "<text>":
            text = self.constant(token)
            while self.peek("<text>"):                # texts beside each other are one
                text += self.constant(self.expect("<text>"))
            return Constant(text)
        if kind == "<name>":
            known = {"None": None, "True": True, "False": False, **_REAL}
            return Constant(known[token]) if token in known else Name(token)
        if token == "(":
            if self.take(")"):
                return Several("()", ())
            first = self.expression()
            if self.take(")"):
                return first
            self.expect(",")
            return Several("()", (first, *self.items(")")))
        if token == "[":
            return Several("[]", self.items("]"))
        if token == "{":
            return Several("{}", self.pairs())
        self.at -= 1
        self.fail(f"{token!r:.40} begins no expression")

    def items(self, close: str) -> tuple[Any, ...]:
        made = []
        while not self.take(close):
            made.append(self.expression())
            if not self.peek(close):
                self.expect(",")
        return tuple(made)

    def pairs(self) -> tuple[Any, ...]:
        made = []
        while not self.take("}"):
            made.append(self.expression())
            self.expect(":")
            made.append(self.expression())
            if not self.peek("}"):
                self.expect(",")
        return tuple(made)

    def call(self, function: Any, line: int) -> CallOf:
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        while not self.take(")"):
            if self.peek("<name>") and self.peek("=", 1):
                name = self.expect("<name>")
                self.expect("=")
                if name in named:
                    self.fail(f"{name!r} is given twice")
                named[name] = self.expression()
            elif named:
                self.fail("an argument without a name follows one with a name")
            else:
                arguments.append(self.expression())
            if not self.peek(")"):
                self.expect(",")
        return CallOf(function, tuple(arguments), named, line)

    def constant(self, token: str) -> Any:
        if len(token) > 400 and token[0] not in "\"'":
            self.fail("a number of more than 400 digits")
        try:
            return ast.literal_eval(token)          # one number or text, as Python writes them
        except (ValueError, SyntaxError):
            self.fail(f"{token!r:.40} is no number or text")
