# SPDX-License-Identifier: Apache-2.0
"""One change."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """`old` stands once in `file` and becomes `new`; `tests` is a filter for `swift test`."""
    name: str
    file: str
    old: str
    new: str
    promise: str
    tests: str

    @property
    def module(self):
        """The folder in Sources or Examples."""
        return self.file.split("/")[1]


    @property
    def is_of_programs(self):
        """Whether tests run programs to see it; linking them all takes longer than the rest."""
        return self.module in ("peermr", "CommandSupport", "MachineArchive", "NICToNVMe", "PingPong")


def of(folder, *rows):
    """Changes of files in one folder."""
    return [Mutation(name, f"{folder}/{file}", *rest) for name, file, *rest in rows]
