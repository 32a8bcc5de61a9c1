# SPDX-License-Identifier: Apache-2.0
"""Writes the page of all errors out of the tables in Sources/*/Explain*.swift.

    python3 Documentation/errortable             write it
    python3 Documentation/errortable --check     fail where it is not what would be written, or lacks a sentence
"""
import argparse
import re
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(_HERE))

import tables                               # noqa: E402
from swifttext import Unreadable, string_parts, tokens  # noqa: E402

_ROOT = _HERE.parent.parent
_SOURCES = _ROOT / "Sources"
_PAGE = _SOURCES / "PeerMR" / "PeerMR.docc" / "ErrorTable.md"
# In the order in which they are met.
_TITLES = {
    "Verbs/Explain.swift": "RDMA devices, regions and queue pairs",
    "Verbs/Explain+Buffers.swift": "Registering dma-bufs",
    "Verbs/Explain+DeviceMemory.swift": "Memory of the NIC",
    "Verbs/Explain+Connection.swift": "Connections by rdma_cm",
    "Verbs/Explain+Manual.swift": "Connections without rdma_cm",
    "PeerMR/Explain.swift": "Registering peer memory",
    "PeerMemory/Explain.swift": "p2pmem and host memory",
    "PeerMemory/Explain+DMABuffer.swift": "dma-bufs, udmabuf and dma-heap",
    "PeerMemory/Explain+VFIO.swift": "vfio-pci and its dma-bufs",
    "PeerMemory/Explain+CUDA.swift": "NVIDIA GPUs",
    "PeerStorage/Explain.swift": "Drives",
    "PeerMRC/Explain.swift": "Using the C library",
    "RegistrationBench/Explain.swift": "The bench of registration",
}
# The calls of functions that are told them in another way.
_USES = {
    "bufferRefused": ["`ibv_reg_dmabuf_mr`"],
    "deviceMapping": ["`ibv_reg_mr`"],
    "pinnedPeerMemory": ["`ibv_reg_mr`"],
    "registerBuffer": ["`ibv_reg_dmabuf_mr`", "`ibv_reg_mr_ex`"],
    "cuda": ["any call of libcuda"],
}
_HEAD = """# All errors

Every sentence that the library can say, by what was called and what the system answered.

@Metadata {
    @PageKind(article)
}

## Overview

An error of PeerMR is one sentence: what happened, in brackets the call and what it left in `errno`, and what to do.
This page is written out of the tables in the source that the sentences come from, so that none is missing here; words
in *italics* are filled in with the facts of the case. <doc:Troubleshooting> tells where to begin.

"any other" is every number that no line above it names. The name behind the sentence is the error's code, for programs:
``PeerMRCore/PeerMRError/Code``.
"""


def tables_of_sources():
    """Every file of tables with its rows."""
    everything = "\n".join(path.read_text() for path in sorted(_SOURCES.rglob("*.swift")))
    texts = {}
    found = {str(path.relative_to(_SOURCES)): path for path in sorted(_SOURCES.glob("*/Explain*.swift"))}
    for name in sorted(found, key=lambda name: (list(_TITLES).index(name) if name in _TITLES else 99, name)):
        module = name.split("/", maxsplit=1)[0]
        try:
            if module not in texts:
                texts[module] = {key: text for path in found.values() if path.parent.name == module
                                 for key, text in tables.read(path.read_text())[1].items()}
            functions, _ = tables.read(found[name].read_text())
            yield name, tables.rows(functions, texts[module], lambda function: _calls(function, everything))
        except (Unreadable, KeyError, IndexError, TypeError, ValueError) as error:
            raise SystemExit(f"Sources/{name} holds what this reader cannot follow ({error!r}): "
                             "write the function more simply, or teach Documentation/errortable") from error


def _calls(function, everything):
    """The C calls that a function with a parameter `call` is used for, from its uses."""
    used = re.findall(rf'\.{function.name}\(\s*"([A-Za-z_][A-Za-z_0-9]*)"', everything)
    return [f"`{call}`" for call in sorted(set(used))] or _USES.get(function.name, ["the call that failed"])


def page():
    """The text of the page, and how many rows it has."""
    text, count = [_HEAD], 0
    by_errno = {}
    sections = []
    for name, rows in tables_of_sources():
        title = _TITLES.get(name, name)
        lines = [f"## {title}\n"]
        with_call = [row for row in rows if row.call]
        without = [row for row in rows if not row.call]
        if with_call:
            lines += ["| Call | Answer | What it says | What to do |", "| --- | --- | --- | --- |"]
        for row in sorted(with_call, key=lambda row: row.call.strip("`")):
            call = row.call if "`" in row.call or " " in row.call else f"`{row.call}`"
            lines.append(f"| {call} | {', '.join(row.errnos)} | {_says(row)} | {_words(row.remedy)} |")
            for errno in row.errnos:
                by_errno.setdefault(errno, set()).update(call.split(", "))
        if without:
            lines += ([""] if with_call else []) + ["| What it says, before any call | What to do |", "| --- | --- |"]
        lines += [f"| {_says(row)} | {_words(row.remedy)} |" for row in without]
        sections.append("\n".join(lines) + "\n")
        count += len(rows)
    index = ["## By number\n", "| Answer | of the calls |", "| --- | --- |"]
    index += [f"| {errno} | {', '.join(sorted(calls))} |" for errno, calls in sorted(by_errno.items())
              if errno[0] == "E" or errno[0].isdigit()]
    return "\n".join(sections), count


def _says(row):
    return _words(row.reason) + (f" (`{row.code}`)" if row.code.isalpha() else "")


def _words(text):
    """For Markdown: facts in italics, and signs that mean something there as they are."""
    text = re.sub(r"([\\*|<>\[\]_`])", r"\\\1", text)
    return re.sub(r"⟨([^⟩]*)⟩", lambda hole: "*" + hole[1].replace("\\", "") + "*", text)


def sentences():
    """Every piece of every string literal of the tables, with its file: what must stand on the page."""
    for path in sorted(_SOURCES.glob("*/Explain*.swift")):
        source = path.read_text()
        for block in re.findall(r"^extension PeerMRError \{\n.*?^\}\n", source, re.MULTILINE | re.DOTALL):
            for token in tokens(block):
                if token.kind == "string":
                    yield from ((path, piece) for piece in _pieces(token.text))


def _pieces(literal):
    for kind, text in string_parts(literal):
        if kind == "text" and len(text.split()) > 2:
            yield text
        elif kind == "code":
            for token in tokens(text):
                if token.kind == "string":
                    yield from _pieces(token.text)


def main():
    parser = argparse.ArgumentParser(prog="Documentation/errortable", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is not up to date")
    check = parser.parse_args().check
    text, count = page()
    wrong = []
    if check and (not _PAGE.exists() or not _PAGE.read_text().endswith(text)):
        wrong.append(f"{_PAGE.relative_to(_ROOT)} is out of date: run python3 Documentation/errortable")
    flat = " ".join(text.split())
    for path, piece in sentences():
        if " ".join(_words(piece).split()) not in flat:
            wrong.append(f"{path.relative_to(_ROOT)}: the page lacks \"{piece.strip()}\"")
    if not check and not wrong:
        _PAGE.parent.mkdir(parents=True, exist_ok=True)
        _PAGE.write_text(text)
    print("\n".join(wrong or [f"{count} errors, all of them on the page"]))
    return 1 if wrong else 0


sys.exit(main())
