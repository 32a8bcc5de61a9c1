# SPDX-License-Identifier: Apache-2.0
"""Reads the Swift of error tables: functions of one switch or a few conditions, each ending in a value.

What is not needed for that (closures of several statements, loops, types) is passed over or refused with its place, so
that nothing is left out silently. A node is a tuple: its kind, its parts, and its source text.
"""
import re

_TOKEN = re.compile(r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<number>0x[0-9a-fA-F_]+|\d[\d_]*)
  | (?P<word>[A-Za-z_$][A-Za-z0-9_]*|`\w+`)
  | (?P<mark>->|\.\.\.|\.\.<|\?\?|==|!=|<=|>=|&&|\|\||<<|>>|[-+*/%&|^!?<>=.,:;(){}\[\]\\@#~])
""", re.VERBOSE)
_LEVELS = [["||"], ["&&"], ["==", "!=", "<", ">", "<=", ">="], ["??"], ["...", "..<"],
           ["+", "-"], ["*", "/", "%", ">>", "<<", "&"]]


class Unreadable(Exception):
    """Swift that this reader does not understand."""


class Token:
    """One token; `gap` says that space stands before it, `line` that it is the first of a line."""

    def __init__(self, kind, text, start, end, gap, line):
        self.kind, self.text, self.start, self.end, self.gap, self.line = kind, text, start, end, gap, line


def tokens(source):
    """All tokens of a text, string literals whole."""
    found, at, gap, line = [], 0, True, True
    while at < len(source):
        if source[at] == '"':
            end = _string_end(source, at)
            found.append(Token("string", source[at:end], at, end, gap, line))
        else:
            match = _TOKEN.match(source, at)
            if not match:
                raise Unreadable(f"cannot read {source[at:at + 30]!r}")
            end = match.end()
            if match.lastgroup == "space":
                gap, line = True, line or "\n" in match[0] or match[0].startswith("//")
                at = end
                continue
            found.append(Token(match.lastgroup, match[0], at, end, gap, line))
        at, gap, line = end, False, False
    found.append(Token("end", "", len(source), len(source), True, True))
    return found


def _string_end(source, at):
    at += 1
    while source[at] != '"':
        if source.startswith("\\(", at):
            at = _closing(source, at + 1)
        at += 2 if source[at] == "\\" else 1
    return at + 1


def _closing(source, at):
    """The place of the bracket that closes the one at `at`."""
    depth = 0
    while True:
        if source[at] == '"':
            at = _string_end(source, at) - 1
        elif source[at] == "(":
            depth += 1
        elif source[at] == ")":
            depth -= 1
            if depth == 0:
                return at
        at += 1


def string_parts(literal):
    """The parts of a string literal: ("text", words) and ("code", source of an interpolation)."""
    parts, text, at = [], "", 1
    while at < len(literal) - 1:
        if literal.startswith("\\(", at):
            end = _closing(literal, at + 1)
            parts += [("text", text), ("code", literal[at + 2:end])]
            text, at = "", end + 1
        elif literal[at] == "\\":
            text += {"n": "\n", "t": "\t"}.get(literal[at + 1], literal[at + 1])
            at += 2
        else:
            text += literal[at]
            at += 1
    return [part for part in parts + [("text", text)] if part[1]]


class Parser:
    """Recursive descent over the tokens of one source text."""

    def __init__(self, source):
        self.source, self.tokens, self.at = source, tokens(source), 0

    @property
    def next(self):
        return self.tokens[self.at]

    def accept(self, text):
        if self.next.text == text and self.next.kind != "string":
            self.at += 1
            return True
        return False

    def expect(self, text):
        if not self.accept(text):
            raise Unreadable(f"expected {text} and found {self.source[self.next.start:self.next.start + 50]!r}")

    def node(self, kind, start, *parts):
        text = self.source[self.tokens[start].start:self.tokens[self.at - 1].end]
        return kind, parts, " ".join(text.split())

    # Statements

    def block(self):
        self.expect("{")
        statements = []
        while not self.accept("}"):
            statements.append(self.statement())
        return statements

    def statement(self):
        start = self.at
        if self.accept("return"):
            return self.node("return", start, self.expression())
        if self.accept("guard"):
            condition = self.conditions()
            self.expect("else")
            return self.node("guard", start, condition, self.block())
        if self.accept("if"):
            return self.branch(start)
        if self.accept("let"):
            return self.binding(start)
        if self.next.text == "func":
            return self.function(start)
        return self.node("return", start, self.expression())

    def branch(self, start):
        condition, yes = self.conditions(), self.block()
        no = []
        if self.accept("else"):
            no = [self.branch(self.at - 1)] if self.accept("if") else self.block()
        return self.node("if", start, condition, yes, no)

    def binding(self, start):
        if self.accept("("):
            names = [self.word()]
            while self.accept(","):
                names.append(self.word())
            self.expect(")")
        else:
            names = self.word()
        if self.accept(":"):
            self.type()
        self.expect("=")
        return self.node("let", start, names, self.expression())

    def function(self, start):
        """`func name(_ a: T, b: U) throws(E) -> T { … }`: the name, the parameters (label, name), the body."""
        self.expect("func")
        name, parameters = self.word(), []
        self.expect("(")
        while not self.accept(")"):
            label = self.word()
            inner = self.word() if self.next.kind == "word" else label
            self.expect(":")
            self.type()
            if self.accept("="):
                self.expression()
            parameters.append((None if label == "_" else label, inner))
            self.accept(",")
        if self.accept("->"):
            self.type()
        return self.node("func", start, name, parameters, self.block())

    def type(self):
        """Passed over, up to what can follow a type."""
        depth = 0
        while depth or self.next.text not in (",", ")", "=", "{"):
            depth += {"(": 1, "[": 1, "<": 1, ")": -1, "]": -1, ">": -1}.get(self.next.text, 0)
            if self.next.kind == "end":
                raise Unreadable("a type that does not end")
            self.at += 1

    def word(self):
        if self.next.kind != "word":
            raise Unreadable(f"expected a name and found {self.source[self.next.start:self.next.start + 50]!r}")
        self.at += 1
        return self.tokens[self.at - 1].text

    def conditions(self):
        found = [self.condition()]
        while self.accept(","):
            found.append(self.condition())
        return found

    def condition(self):
        start = self.at
        if self.accept("let"):
            self.word()
            if self.accept("="):
                self.expression(False)
            return self.node("bound", start)
        return self.expression(False)

    # Expressions; `closures` says whether a brace may begin a closure here.

    def expression(self, closures=True):
        start = self.at
        value = self.binary(0, closures)
        if self.next.text == "?" and self.next.gap:
            self.at += 1
            yes = self.expression(closures)
            self.expect(":")
            return self.node("choice", start, value, yes, self.expression(closures))
        return value

    def binary(self, level, closures):
        if level == len(_LEVELS):
            return self.prefix(closures)
        start = self.at
        left = self.binary(level + 1, closures)
        while self.next.text in _LEVELS[level] and self.next.kind == "mark":
            operator = self.next.text
            self.at += 1
            left = self.node("binary", start, operator, left, self.binary(level + 1, closures))
        return left

    def prefix(self, closures):
        start = self.at
        if self.accept("!"):
            return self.node("not", start, self.prefix(closures))
        if self.accept("-") or self.accept("&"):
            return self.prefix(closures)
        if self.next.text in ("try", "consume", "unsafe"):
            self.at += 1
            self.accept("?")
            return self.expression(closures)
        return self.postfix(self.primary(), start, closures)

    def primary(self):
        start = self.at
        if self.next.kind == "string":
            self.at += 1
            return self.node("string", start, string_parts(self.tokens[start].text))
        if self.next.kind == "number":
            self.at += 1
            return self.node("number", start)
        if self.accept("switch"):
            return self.switch(start)
        if self.accept("."):
            return self.node("member", start, None, self.word())
        if self.next.text == "\\":
            self.at += 1
            self.expect(".")
            self.word()
            return self.node("opaque", start)
        if self.accept("("):
            return self.node("tuple", start, self.arguments(")"))
        if self.accept("["):
            return self.node("list", start, self.arguments("]"))
        return self.node("name", start, self.word())

    def postfix(self, value, start, closures):
        while True:
            if self.next.text == "." and self.next.kind == "mark":
                self.at += 1
                value = self.node("member", start, value, self.word() if self.next.kind == "word" else self.number())
            elif self.next.text == "(" and not self.next.line and not self.next.gap:
                self.at += 1
                value = self.node("call", start, value, self.arguments(")"))
            elif self.next.text == "[" and not self.next.gap:
                self.at += 1
                value = self.node("index", start, value, self.arguments("]"))
            elif self.next.text == "{" and closures and not self.next.line:
                value = self.node("call", start, value, [(None, self.closure())])
            elif self.next.text in ("?", "!") and not self.next.gap:
                self.at += 1
            else:
                return value

    def number(self):
        self.at += 1
        return self.tokens[self.at - 1].text

    def closure(self):
        start = self.at
        self.expect("{")
        value = self.expression()
        self.expect("}")
        return self.node("closure", start, value)

    def arguments(self, end):
        found = []
        while not self.accept(end):
            label = None
            if self.next.kind == "word" and self.tokens[self.at + 1].text == ":":
                label = self.word()
                self.expect(":")
            found.append((label, self.expression()))
            self.accept(",")
        return found

    def switch(self, start):
        subject = self.expression(False)
        self.expect("{")
        cases = []
        while not self.accept("}"):
            patterns = []
            if not self.accept("default"):
                self.expect("case")
                while True:
                    pattern = self.expression(False)
                    patterns.append((pattern, self.expression(False) if self.accept("where") else None))
                    if not self.accept(","):
                        break
            self.expect(":")
            body = []
            while self.next.text not in ("case", "default", "}"):
                body.append(self.statement())
            cases.append((patterns, body))
        return self.node("switch", start, subject, cases)
