#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a manual page for each function of peermr.h, out of what the header and its parts say of it.

    Packaging/man/functions.py OUTPUT [HEADER]     writes OUTPUT/peermr_*.3

The header is the contract, and the only place where a function is described. What a page has: the prototype, the
description, the structs and enums of the prototype, the errors, and the functions that belong together with it.
"""
import re
import sys
from pathlib import Path

_HEADER = Path(__file__).resolve().parents[2] / "Sources" / "CPeerMR" / "include" / "peermr.h"
_DATE = "November 21, 2026"
# Where the first sentence of the header is too long for a title.
_TITLES = {
    "peermr_address_request_free": "frees a request of leases by address",
    "peermr_arena_create": "declares host memory that regions of caches may be of",
    "peermr_arena_free": "ends an arena of host memory",
    "peermr_bulk_keys": "the keys of a range of memory that is registered in chunks",
    "peermr_bulk_piece": "the keys of as much of a range as one chunk has",
    "peermr_cache_free": "frees a cache of regions",
    "peermr_cache_invalidate_addresses": "invalidates the regions that were leased by address",
    "peermr_cache_invalidate_p2pmem": "invalidates the regions of a memory",
    "peermr_cache_invalidate_provider": "invalidates the regions of a PCI function's memory",
    "peermr_cache_lease": "leases a region that has a range of a memory",
    "peermr_cache_lease_address": "leases a region of what is mapped at an address",
    "peermr_cache_release_domain": "lets go of a protection domain",
    "peermr_cache_statistics": "what a cache did, and holds",
    "peermr_deregister": "deregisters a region",
    "peermr_lease_invalidate": "ends the region of a lease",
    "peermr_lease_release": "gives a lease back",
    "peermr_memory_close": "closes memory, and releases it",
    "peermr_memory_dmabuf": "a descriptor of the dma-buf of memory",
    "peermr_memory_open": "opens or allocates memory by its specification",
    "peermr_memory_read": "copies bytes out of memory by its owner's means",
    "peermr_memory_write": "copies bytes into memory by its owner's means",
    "peermr_outcome_name": "the names of values",
    "peermr_p2pmem_address": "the first byte of p2pmem, where it is mapped",
    "peermr_p2pmem_allocate": "allocates peer-to-peer memory of a PCI function",
    "peermr_p2pmem_free": "unmaps p2pmem and returns it to the pool",
    "peermr_p2pmem_length": "the length of p2pmem",
    "peermr_prove": "moves random bytes through a region and compares them",
    "peermr_reader_advance": "lets go of all that a reader has found",
    "peermr_reader_create": "makes a thread's own way into a cache",
    "peermr_reader_find": "gives the keys of a range that a cache has",
    "peermr_reader_free": "frees a reader",
    "peermr_region_detach": "hands the ibv_mr of a region to the caller",
    "peermr_region_mr": "the plain ibv_mr of a region",
    "peermr_register_address": "registers memory of this process by its address",
    "peermr_register_bulk": "registers many parts of memory at once, all or none",
    "peermr_register_memory": "registers memory that was opened, or a range of it",
    "peermr_register_p2pmem": "registers p2pmem with the method that works",
    "peermr_request_addresses": "looks up what leases by address have in common",
    "peermr_request_free": "frees a request of a cache",
    "peermr_request_p2pmem": "looks up what leases of a memory have in common",
    "peermr_status_name": "the name of a status",
}
# Functions that are read together, by the beginning of their names.
_FAMILIES = [
    ["peermr_last_error", "peermr_version", "peermr_status_name"],
    ["peermr_check", "peermr_capability", "peermr_route", "peermr_outcome_name", "peermr_map_type_name"],
    ["peermr_p2pmem", "peermr_register_p2pmem"],
    ["peermr_memory", "peermr_register_memory"],
    ["peermr_register_bulk", "peermr_bulk"],
    ["peermr_register", "peermr_region", "peermr_method_name", "peermr_prove", "peermr_deregister"],
    ["peermr_cache", "peermr_arena", "peermr_request", "peermr_address_request", "peermr_lease", "peermr_reader"],
]


def header_text(header=_HEADER):
    """The text of the header, with its parts (peermr/*.h) where it includes them."""
    return re.sub(r'^#include "(peermr/\w+\.h)"$', lambda part: (header.parent / part[1]).read_text(),
                  header.read_text(), flags=re.MULTILINE)


class Function:
    """A function of the header: its comment belongs to the functions that follow it without one, too."""

    def __init__(self, name, result, arguments, comment):
        self.name, self.result, self.arguments, self.comment = name, result, arguments, comment
        self.shares = []        # the names of the functions that have the same comment


def functions(text):
    """All functions, in the order of the header."""
    found = []
    pattern = re.compile(r"/\*(?P<comment>(?:(?!\*/).)*)\*/|^(?P<result>[a-z][\w ]*?[ *]+)(?P<name>peermr_\w+)"
                         r"\((?P<arguments>[^)]*)\);", re.MULTILINE | re.DOTALL)
    comment, last = "", 0
    for match in pattern.finditer(text):
        if match["comment"] is not None:
            comment, last = _plain(match["comment"]), len(found)
            continue
        arguments = [" ".join(one.split()) for one in match["arguments"].split(",")]
        found.append(Function(match["name"], " ".join(match["result"].split()), arguments, comment))
        shared = found[last:]
        for function in shared:
            function.shares = [other.name for other in shared if other is not function]
    return found


def _plain(comment):
    """The paragraphs of a comment, without its stars."""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in comment.strip("*").splitlines()]
    paragraphs = "\n".join(line.strip() for line in lines).strip().split("\n\n")
    return [" ".join(paragraph.split("\n")) for paragraph in paragraphs]


def definitions(text):
    """The structs and enums that are laid out, by name: their source, up to the macro that makes one."""
    found = {}
    for match in re.finditer(r"^(?:typedef )?((?:struct|enum) (peermr_\w+)) \{.*?^\}[^;]*;\n(?:#define \w+_INIT\b"
                             r"(?:[^\n]*\\\n)*[^\n]*\n)?|^enum (peermr_\w+) \{[^\n]*\};\n", text,
                             re.MULTILINE | re.DOTALL):
        found[match[2] or match[3]] = match[0]
    return found


def page(function, everything, laid_out):
    """The text of a page, in mdoc."""
    paragraphs = list(function.comment)
    first = re.split(r"(?<=[.;:]) (?=[A-Z])|[.;]$|; ", paragraphs[0])[0].rstrip(".;:")
    first = _TITLES.get(function.name) or re.sub(r" \([^)]*\)$|, such as.*", "", first)
    lines = [r".\" SPDX-License-Identifier: Apache-2.0", r".\" Made by Packaging/man/functions.py out of peermr.h.",
             f".Dd {_DATE}", f".Dt {function.name.upper()} 3", ".Os PeerMR", ".Sh NAME", f".Nm {function.name}",
             f".Nd {_escaped(first[0].lower() + first[1:])}", ".Sh SYNOPSIS", ".In peermr.h"]
    for name in [function.name] + function.shares:
        lines += _prototype(everything[name])
    errors = _errors(paragraphs)
    lines += [".Sh DESCRIPTION"] + _described(paragraphs, function)
    used = dict.fromkeys(re.findall(r"peermr_\w+", " ".join(
        " ".join(everything[name].arguments) for name in [function.name] + function.shares)))
    for name in used:
        if name in laid_out:
            lines += [".Bd -literal"] + [_escaped(line, True) for line in laid_out[name].rstrip().split("\n")] + [".Ed"]
    if errors:
        lines += [".Sh ERRORS", "These are the values that the function fails with, among others:"] + errors
    if "peermr_status" in function.result:
        lines += [".Sh RETURN VALUES", ".Dv PEERMR_OK , No or why it failed;", ".Xr peermr_last_error 3",
                  "has the details."] if function.name != "peermr_last_error" else []
    lines = _ordered(lines)
    lines += [".Sh SEE ALSO"] + _see_also(function, everything)
    return "\n".join(lines) + "\n"


def _ordered(lines):
    """mdoc has RETURN VALUES before ERRORS."""
    if ".Sh ERRORS" in lines and ".Sh RETURN VALUES" in lines:
        errors, values = lines.index(".Sh ERRORS"), lines.index(".Sh RETURN VALUES")
        return lines[:errors] + lines[values:] + lines[errors:values]
    return lines


def _prototype(function):
    lines = [f".Ft {_quoted(function.result)}", f".Fo {function.name}"]
    return lines + [f".Fa {_quoted(argument)}" for argument in function.arguments] + [".Fc"]


def _quoted(text):
    return f'"{text}"' if " " in text else text


def _described(paragraphs, function):
    """The paragraphs but for the errors; `name: text` of a parameter becomes an item."""
    names = {re.sub(r".*\W", "", argument) for argument in function.arguments}
    lines = []
    for index, paragraph in enumerate(paragraphs):
        rest = re.split(r"\b(" + "|".join(sorted(names)) + r")((?:, \w+)*): ", paragraph) if names else [paragraph]
        if rest[0].strip():
            lines += ([".Pp"] if index else []) + _sentences(rest[0])
        items = [(rest[at] + rest[at + 1], rest[at + 2]) for at in range(1, len(rest), 3)]
        if items:
            lines += [".Bl -tag -width Ds"]
            for name, text in items:
                lines += [".It " + " , ".join(f"Fa {one}" for one in name.split(", "))] + _sentences(text)
            lines += [".El"]
    return lines


def _errors(paragraphs):
    """Takes the sentence "Fails with …" out of the paragraphs; returns it as a list."""
    for index, paragraph in enumerate(paragraphs):
        match = re.search(r"Fails (?:as the two above do, and )?with (PEERMR_.*)$", paragraph)
        if not match:
            continue
        rest = paragraph[:match.start()].strip()
        if "as the two above" in match[0] or "Otherwise as above" in match[0]:
            rest = (rest + " Fails as the other functions that register do, too.").strip()
        paragraphs[index:index + 1] = [rest] if rest else []
        lines = [".Bl -tag -width Er"]
        listed, _, also = match[1].partition(", and what ")
        for status, why in re.findall(r"(PEERMR_\w+)(.*?)(?=,? (?:and )?PEERMR_|$)", listed):
            why = why.strip(" .,")
            if why.startswith("("):
                inner, _, after = why[1:].rpartition(")")
                after = re.sub("Otherwise as above", "", after).strip(" .,")
                why = inner + (f". {after}." if after else "")
            lines += [f".It Dv {status}"] + (_sentences(why) if why else ["see above"])
        return lines + [".El"] + ([".Pp"] + _sentences("Also, with what " + also) if also else [])
    return []


def _sentences(text):
    """A line of source for each sentence, as mdoc wants it; names of functions as references."""
    lines = []
    for sentence in re.split(r"(?<=[.?!]) (?=[A-Z])", " ".join(text.split())):
        for piece in re.split(r"(\b(?:peermr|ibv)_\w+\(\)[,.;:)]*)", sentence):
            if match := re.fullmatch(r"((?:peermr|ibv)_\w+)\(\)([,.;:)]*)", piece):
                lines.append(f".Fn {match[1]}" + "".join(f" {mark}" for mark in match[2]))
            elif piece.strip():
                lines.append(_escaped(piece.strip()))
    return lines


def _escaped(text, literal=False):
    text = text.replace("\\", r"\e")
    if text[:1] in (".", "'"):
        text = r"\&" + text
    return text.replace('"', r"\(dq") if not literal else text


def _see_also(function, everything):
    others = {name for family in _FAMILIES if any(function.name.startswith(begin) for begin in family)
              for name in everything if any(name.startswith(begin) for begin in family)}
    others = sorted((others | {"peermr"}) - {function.name} - set(function.shares))
    return [f".Xr {name} 3 ," for name in others[:-1]] + [f".Xr {others[-1]} 3"]


def write(output, header=_HEADER):
    """Writes all pages; returns their names."""
    text = header_text(header)
    everything = {function.name: function for function in functions(text)}
    laid_out = definitions(text)
    output.mkdir(parents=True, exist_ok=True)
    for name, function in everything.items():
        # Those that share a comment share the first one's page.
        first = next(other for other in everything if other == name or other in function.shares)
        body = page(function, everything, laid_out) if first == name else f".so man3/{first}.3\n"
        (output / f"{name}.3").write_text(body)
    return list(everything)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    write(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else _HEADER)
