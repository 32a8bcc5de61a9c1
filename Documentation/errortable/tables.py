# SPDX-License-Identifier: Apache-2.0
"""Goes through every way that the functions of an error table can take, and notes the error at the end of each."""
import re

from swifttext import Parser, Unreadable

# The names that swift-system gives to the numbers.
_NAMES = {
    "addressInUse": "EADDRINUSE", "addressNotAvailable": "EADDRNOTAVAIL", "badAddress": "EFAULT",
    "badFileDescriptor": "EBADF", "connectionRefused": "ECONNREFUSED", "hostIsDown": "EHOSTDOWN",
    "inappropriateIOCTLForDevice": "ENOTTY", "invalidArgument": "EINVAL", "ioError": "EIO", "isDirectory": "EISDIR",
    "networkUnreachable": "ENETUNREACH", "noFunction": "ENOSYS", "noMemory": "ENOMEM", "noRouteToHost": "EHOSTUNREACH",
    "noSpace": "ENOSPC", "noSuchAddressOrDevice": "ENXIO", "noSuchFileOrDirectory": "ENOENT",
    "notBlockDevice": "ENOTBLK", "notPermitted": "EPERM", "notSupported": "EOPNOTSUPP",
    "notSupportedOnSocket": "EOPNOTSUPP", "operationNotSupportedByDevice": "ENODEV", "permissionDenied": "EACCES",
    "protocolNotSupported": "EPROTONOSUPPORT", "readOnlyFileSystem": "EROFS", "resourceBusy": "EBUSY",
    "timedOut": "ETIMEDOUT", "tooManyOpenFiles": "EMFILE", "tooManyOpenFilesInSystem": "ENFILE",
}
_NUMBERS = {"25": "ENOTTY", "121": "EREMOTEIO", "524": "524 (ENOTSUPP)"}


class Function:
    """A function of a table: its parameters (label, name), its statements, and the calls its manual note names."""

    def __init__(self, name, parameters, body, source, is_private):
        self.name, self.parameters, self.body, self.source = name, parameters, body, source
        self.is_private = is_private


class Row:
    """An error that a table can give."""

    def __init__(self, code, call, errnos, reason, remedy, function):
        self.code, self.call, self.errnos, self.reason, self.remedy = code, call, errnos, reason, remedy
        self.function = function

    @property
    def key(self):
        return self.code, self.call, self.reason, self.remedy


def read(source):
    """The functions and the fixed texts of the `extension PeerMRError` blocks of a file."""
    functions, texts = {}, {}
    for start in re.finditer(r"^extension PeerMRError \{\n", source, re.MULTILINE):
        end = source.index("\n}\n", start.end())
        block = source[start.end():end]
        for match in re.finditer(r"^    (private |public |package )?static (func|var|let) (\w+)", block, re.MULTILINE):
            parser = Parser(block[match.start(2):])
            if match[2] == "func":
                _, (name, parameters, body), text = parser.function(0)
                functions[name] = Function(name, parameters, body, text, match[1] == "private ")
                continue
            parser.at = 2
            if parser.accept(":"):
                parser.type()
            if match[2] == "let":
                parser.expect("=")
                texts[match[3]] = parser.expression()
            else:
                functions[match[3]] = Function(match[3], [], parser.block(), "", match[1] == "private ")
    return functions, texts


def rows(functions, texts, calls_of):
    """All errors that the functions of a file can give. `calls_of(name)` are the calls it is used for elsewhere."""
    found = []
    for function in functions.values():
        if function.is_private:
            continue
        script = []
        while True:
            walk = Walk(functions, texts, script)
            value = walk.body(function.body, {name: None for _, name in function.parameters})
            if isinstance(value, dict):
                found += walk.rows(value, function, calls_of)
            elif value is not None and value != "⟨error⟩":      # an error that is handed on
                raise Unreadable(f"{function.name} does not end in an error: {value!r}")
            # The next way: the last decision that has another outcome takes it.
            script = walk.taken
            while script and script[-1][0] + 1 == script[-1][1]:
                script.pop()
            if not script:
                break
            script[-1] = (script[-1][0] + 1, script[-1][1])
    return _joined(found)


def _joined(found):
    """One row for each error, with all numbers that lead to it."""
    kept = {}
    for row in found:
        if row.key in kept:
            kept[row.key].errnos += [errno for errno in row.errnos if errno not in kept[row.key].errnos]
        else:
            kept[row.key] = row
    found = [row for row in kept.values() if not re.fullmatch("⟨[^⟩]*⟩", row.reason)]
    return [row for row in found if not any(_is_shorter(row, other) for other in found)]


def _is_shorter(row, other):
    """Whether a row is another one without a fact at its end, such as " for ⟨context⟩"."""
    more = other.reason[len(row.reason):] if other.reason.startswith(row.reason) else ""
    return bool(re.fullmatch(r"( \w+)? \(?⟨[^⟩]*⟩\)?", more)) and \
        (row.call, row.code, row.remedy, row.errnos) == (other.call, other.code, other.remedy, other.errnos)


class Walk:
    """One way through a function. What is not known is decided by the script, the same thing always alike."""

    def __init__(self, functions, texts, script):
        self.functions, self.texts, self.script = functions, texts, [choice[0] for choice in script]
        self.taken, self.known = [], {}
        self.possible, self.excluded = None, set()
        self.label, self.call = None, None

    def decide(self, about, count):
        if about not in self.known:
            choice = self.script[len(self.taken)] if len(self.taken) < len(self.script) else 0
            self.taken.append((choice, count))
            self.known[about] = choice
        return self.known[about]

    # Statements: the value that a block ends in, or None where it goes on.

    def body(self, statements, names):
        for kind, parts, text in statements:
            if kind == "return":
                return self.value(parts[0], names)
            if kind == "let":
                self.bind(parts, names)
            elif kind == "func":
                names[parts[0]] = ("func", Function(parts[0], parts[1], parts[2], text, True), names)
            elif kind == "guard":
                if not all([self.truth(condition, names) for condition in parts[0][:1]]) or \
                        not all(self.truth(condition, names) for condition in parts[0][1:]):
                    return self.body(parts[1], dict(names))
            elif kind == "if":
                taken = parts[1] if all(self.truth(condition, names) for condition in parts[0]) else parts[2]
                value = self.body(taken, dict(names))
                if value is not None:
                    return value
        return None

    def bind(self, parts, names):
        name, value = parts
        if isinstance(name, str):
            if name != "errno":
                names[name] = ("later", value, dict(names))
            return
        # A tuple of names: its switch or condition is decided now.
        values = self.value(value, names)
        for index, one in enumerate(name):
            names[one] = ("value", values[index])

    # Values: a text, a list for a tuple, a dictionary for an error; None for an error of another row.

    def value(self, node, names):
        kind, parts, text = node
        if kind == "string":
            return "".join(self.part(part, names) for part in parts[0])
        if kind == "choice":
            return self.value(parts[1] if self.truth(parts[0], names) else parts[2], names)
        if kind == "switch":
            return self.switch(parts[0], parts[1], names)
        if kind == "tuple":
            values = [self.value(argument, names) for _, argument in parts[0]]
            return values[0] if len(values) == 1 else values
        if kind == "binary":
            return self.combined(parts, text, names)
        if kind == "name":
            return self.named(parts[0], names)
        if kind == "member":
            return self.member(parts, text, names)
        if kind == "call":
            return self.called(parts, text, names)
        return hole(text)

    def part(self, part, names):
        if part[0] == "text":
            return part[1]
        value = self.value(Parser(part[1]).expression(), names)
        return value if isinstance(value, str) else hole(part[1])

    def combined(self, parts, text, names):
        operator, left, right = parts
        if operator == "+" and "string" in (self.leaf(left), self.leaf(right)):
            return self.value(left, names) + self.value(right, names)
        if operator == "??":
            # A sentence for want of a better one is a case of its own; a word for want of a name is not.
            if mapped := self.mapped(left):
                return self.value(right if self.decide(f"{mapped} == nil", 2) == 0 else left, names)
            if right[0] == "string" and len(right[2].split()) > 2 and self.decide(text, 2):
                return self.value(right, names)
            return self.value(left, names)
        return hole(text)

    def mapped(self, node):
        """What `X.map { "…" }` is about; None for anything else."""
        if node[0] == "call" and node[1][0][0] == "member" and node[1][0][1][1] == "map":
            (_, closure), = node[1][1]
            if closure[0] == "closure" and closure[1][0][0] == "string":
                return node[1][0][1][0][2]
        return None

    def leaf(self, node):
        return self.leaf(node[1][1]) if node[0] == "binary" and node[1][0] == "+" else node[0]

    def named(self, name, names):
        bound = names.get(name)
        if bound is None:
            if name in self.texts and name not in names:
                return self.value(self.texts[name], {})
            return hole(name)
        if bound[0] != "later":
            return bound[1]
        value = self.value(bound[1], bound[2])
        # What the code calls a fact tells more than how it comes by it.
        return hole(name) if isinstance(value, str) and re.fullmatch("⟨[^⟩]*⟩", value) else value

    def member(self, parts, text, names):
        base, name = parts
        if base is None:
            if name in self.functions:
                return self.used(self.functions[name], [], names)
            return self.value(self.texts[name], {}) if name in self.texts else "." + name
        if name == "replacingArticle":
            return self.value(base, names)
        return hole(text)

    def called(self, parts, text, names):
        callee, arguments = parts
        name = callee[1][-1] if callee[0] in ("name", "member") else None
        bound = names.get(name) if callee[0] == "name" else None
        if callee[2] == "PeerMRError":
            return self.error(arguments, names)
        if bound and bound[0] == "func":
            return self.used(bound[1], arguments, names, bound[2])
        if name in self.functions and (callee[0] == "name" or callee[1][0] is None):
            return self.used(self.functions[name], arguments, names)
        if callee[0] == "member" and callee[1][0] is None:
            return None                                     # an error of another file's table
        if mapped := self.mapped(("call", parts, text)):
            return self.value(arguments[0][1][1][0], {"$0": ("value", hole(mapped))})
        return hole(text)

    def used(self, function, arguments, names, around=None):
        """A helper's error is this one's; that of a function with rows of its own stands there."""
        if not function.is_private:
            return None
        inner = dict(around or {})
        for (_, name), (_, argument) in zip(function.parameters, arguments):
            inner[name] = None if name in ("errno", "facts") else ("later", argument, names)
        return self.body(function.body, inner)

    def error(self, arguments, names):
        found = {"code": self.value(arguments[0][1], names)}
        found.update({label: self.value(node, names) for label, node in arguments[1:]})
        for label, node in arguments:
            if label == "errno":
                found["errno"] = self.number(node) or "errno"
        return found

    def switch(self, subject, cases, names):
        if subject[2] == "errno":
            for patterns, body in cases:
                numbers = {self.number(pattern) for pattern, where in patterns
                           if where is None or self.truth(where, names)}
                if not patterns or (numbers and self.among(numbers)):
                    return self.body(body, dict(names))
            return None
        taken = self.decide(subject[2], len(cases))
        patterns, body = cases[taken]
        if any(pattern[0] == "number" for patterns, _ in cases for pattern, _ in patterns):
            self.label = "CUDA " + ", ".join(pattern[2] for pattern, _ in patterns) if patterns else "any other"
        return self.body(body, dict(names))

    # Truth

    def truth(self, node, names):
        kind, parts, text = node
        if kind == "not":
            return not self.truth(parts[0], names)
        if kind == "tuple" and len(parts[0]) == 1:
            return self.truth(parts[0][0][1], names)
        if kind == "binary" and parts[0] in ("&&", "||"):
            left = self.truth(parts[1], names)
            return self.truth(parts[2], names) if left == (parts[0] == "&&") else left
        if kind == "binary" and parts[0] in ("==", "!=") and parts[1][2] in ("errno", "errno.rawValue"):
            numbers = {self.number(parts[2])}
            return self.among(numbers) == (parts[0] == "==")
        if kind == "name" and (names.get(parts[0]) or ("",))[0] == "later":
            return self.truth(names[parts[0]][1], names[parts[0]][2])
        if kind == "call" and text.endswith(".contains(errno)"):
            listed = names[parts[0][1][0][2]][1]
            return self.among({self.number(element) for _, element in listed[1][0]})
        found = self.decide(text, 2) == 0
        if found and kind == "binary" and parts[1][2] == "call" and parts[0] == "==":
            self.call = parts[2][1][0][0][1]
        return found

    def among(self, numbers):
        """Whether the errno is one of these."""
        if self.possible is not None:
            both = self.possible & numbers
            if not both or both == self.possible:
                return bool(both)
            numbers = both
        elif numbers <= self.excluded:
            return False
        numbers = numbers - self.excluded
        if self.decide(("errno", frozenset(numbers)), 2) == 0:
            self.possible = numbers
            return True
        if self.possible is not None:
            self.possible = self.possible - numbers
        self.excluded = self.excluded | numbers
        return False

    def number(self, node):
        """The C name of a number that is written out; None for a variable."""
        kind, parts, text = node
        if kind == "member" and parts[0] is None:
            if parts[1] not in _NAMES:
                raise Unreadable(f"no C name is known for the errno {parts[1]}: add it to _NAMES")
            return _NAMES[parts[1]]
        if kind == "call" and text.startswith("Errno(rawValue: "):
            return _NUMBERS.get(parts[1][0][1][2])
        return _NUMBERS.get(text) if kind == "number" else None

    # The rows of an error

    def rows(self, error, function, calls_of):
        call = error.get("call", "")
        calls = [call]
        if call.startswith("⟨"):
            calls = [self.call] if self.call else calls_of(function)
        errno = error.get("errno")
        if self.label:
            errnos = [self.label]
        elif errno is None:
            errnos = []
        elif errno != "errno":
            errnos = [errno]
        elif self.possible is not None:
            errnos = sorted(self.possible)
        else:
            errnos = ["any other"] if self.excluded else ["any"]
        return [Row(error["code"].lstrip("."), ", ".join(calls), errnos, error["reason"], error.get("remedy", ""),
                    function.name)]


def hole(text):
    """A fact that is filled in at run time, under its name: ⟨byte count⟩."""
    inner = re.sub(r"ByteCount\.describe|\bString|\bInt\w*|\bUInt64", "", text)
    if path := re.search(r"[A-Za-z_$][\w]*(?:\??\.[A-Za-z]\w*)*", inner):
        words = [word for word in path[0].replace("?", "").split(".")
                 if word not in ("map", "joined", "rawValue", "description", "first", "flatMap", "filter")]
        name = words[-1] if words else path[0]
    else:
        name = text
    return "⟨" + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() + "⟩"
