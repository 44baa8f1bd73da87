"""Find the names that a `%%setup` cell bound last, which are not saved because each new kernel binds them again.

A name counts as bound by a cell if the cell's text says so or if the name holds another object
afterwards, which finds `import *` and functions that bind globals.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any

_ATOMS = (type(None), bool, int, float, complex, str, bytes)


class Bindings:
    """Records which cells of a kernel bind which names."""

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self._namespace = namespace
        #: Names that a setup bound last.
        self.remade: set[str] = set()
        self._stored: set[str] | None = None
        self._before: dict[str, int] = {}
        self._setup_values: dict[str, Any] = {}

    def open_setup(self, stored: Iterable[str]) -> None:
        """Begin a setup cell that binds these names by its text."""
        self._stored, self._setup_values = set(stored), {}
        # Only ids: references would keep objects alive that the setup replaces.
        self._before = {name: id(value) for name, value in self._namespace.items()}

    def note_restored(self, names: Iterable[str]) -> None:
        """Note that names were bound by the snapshot and not by a cell."""
        self._before.update((name, id(self._namespace[name])) for name in names)

    def tally_setup(self) -> None:
        """Add the names that the current setup cell has bound so far; do nothing if there is none."""
        if self._stored is None:
            return
        changed = {n for n, v in self._namespace.items() if not n.startswith("_") and self._before.get(n) != id(v)}
        self.remade |= changed | {name for name in self._stored if name in self._namespace}

    def close_setup(self) -> None:
        """End the current setup cell, if there is one."""
        self.tally_setup()
        self._stored = None

    def open_cell(self) -> None:
        """Begin a cell that is not a setup."""
        self.close_setup()
        missing = object()
        self._setup_values = {name: self._namespace.get(name, missing) for name in self.remade}

    def close_cell(self, stored: Iterable[str]) -> None:
        """End a cell that is not a setup; by its text it binds these names.

        A name that still holds the setup's object stays the setup's, unless its value is an atom:
        equal numbers are one object, so it is unknown which cell bound it.
        """
        rebound = set(stored)
        for name, setup_value in self._setup_values.items():
            value = self._namespace.get(name)
            if (
                name not in self._namespace
                or value is not setup_value
                or (name in rebound and isinstance(value, _ATOMS))
            ):
                self.remade.discard(name)
        self._setup_values = {}
