"""Find out what changed since the last look, with two small indexed reads."""

from collections.abc import Iterable

import sqlalchemy as sa

from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.changes import Line, Standing, last_lines, running, standing

__all__ = ["Watcher"]

#: Lines read at each look. Between two looks there are rarely more, and then one more look is taken.
_FEW, _MANY = 32, 1000


class Watcher:
    """Remembers what it saw. One thread at a time."""

    def __init__(self) -> None:
        self._seen: set[int] | None = None
        self._done: dict[str, int] = {}

    def look(self, connection: sa.Connection) -> list[dict[str, JSON]]:
        """Tell what changed since the last look, one entry for each execution; nothing at the first look."""
        lines = self._new_lines(connection)
        moving = running(connection)
        changed: dict[str, list[Line]] = {}
        for line in lines:
            changed.setdefault(line.execution, []).append(line)
        stands = {found.execution: found for found in moving}
        missing = [execution for execution in changed if execution not in stands]
        if missing:
            stands |= {found.execution: found for found in standing(connection, missing)}
        progressed = self._progressed(moving)
        return [
            _change(stands[execution], changed.get(execution, []))
            for execution in dict.fromkeys([*changed, *progressed])
            if execution in stands
        ]

    def _new_lines(self, connection: sa.Connection) -> list[Line]:
        lines = last_lines(connection, _FEW)
        known = self._seen
        if known is not None and len(lines) == _FEW and known.isdisjoint(line.id for line in lines):
            lines = last_lines(connection, _MANY)
        self._seen = {line.id for line in lines}
        if known is None:
            return []
        # What lies below everything that was known has only come into sight because lines above it are gone.
        lowest = min(known, default=0)
        return [line for line in lines if line.id not in known and line.id >= lowest]

    def _progressed(self, moving: Iterable[Standing]) -> list[str]:
        before, self._done = self._done, {found.execution: found.cells_done for found in moving}
        return [
            execution for execution, done in self._done.items() if execution in before and before[execution] != done
        ]


def _change(stands: Standing, lines: list[Line]) -> dict[str, JSON]:
    return {
        "execution": stands.execution,
        "state": stands.state,
        "segment": stands.segment,
        "cells": {"done": stands.cells_done, "total": stands.cells_total},
        "what": [line.what for line in lines],
        "steps": list(dict.fromkeys(line.step for line in lines if line.step is not None)),
    }
