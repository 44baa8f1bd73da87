"""Find the changes in the store since the last poll, with two small indexed reads."""

from collections.abc import Iterable

import sqlalchemy as sa

from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.changes import Line, Standing, last_lines, running, standing

#: Lines of the audit trail that each poll reads. If all of them are new, it reads more.
_FEW, _MANY = 32, 1000


class Watcher:
    """Remembers the state at the last poll; for one thread at a time."""

    def __init__(self) -> None:
        self._seen: set[int] | None = None
        self._done: dict[str, int] = {}

    def poll(self, connection: sa.Connection) -> list[dict[str, JSON]]:
        """Return the changes since the last poll, one entry for each execution; none at the first poll."""
        lines = self._new_lines(connection)
        moving = running(connection)
        changed: dict[str, list[Line]] = {}
        for line in lines:
            changed.setdefault(line.execution, []).append(line)
        stands = {found.execution: found for found in moving}
        missing = [execution for execution in changed if execution not in stands]
        if missing:
            stands |= {found.execution: found for found in standing(connection, missing)}
        progressed = self._find_progress(moving)
        return [
            _make_change(stands[execution], changed.get(execution, []))
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
        # A line below all known lines is not new: it is only among the last lines because others were deleted.
        lowest = min(known, default=0)
        return [line for line in lines if line.id not in known and line.id >= lowest]

    def _find_progress(self, moving: Iterable[Standing]) -> list[str]:
        before, self._done = self._done, {found.execution: found.cells_done for found in moving}
        return [
            execution for execution, done in self._done.items() if execution in before and before[execution] != done
        ]


def _make_change(stands: Standing, lines: list[Line]) -> dict[str, JSON]:
    return {
        "execution": stands.execution,
        "state": stands.state,
        "segment": stands.segment,
        "cells": {"done": stands.cells_done, "total": stands.cells_total},
        "what": [line.what for line in lines],
        "steps": list(dict.fromkeys(line.step for line in lines if line.step is not None)),
    }
