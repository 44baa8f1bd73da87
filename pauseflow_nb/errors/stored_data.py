"""Errors of the database, the storage and the snapshots."""

import errno
from collections.abc import Sequence

from pauseflow_nb.errors.root import PauseflowError


class StoreUnavailable(PauseflowError, ConnectionError):
    """The database is locked, missing or unusable."""

    def __init__(self, database: str, problem: str) -> None:
        super().__init__(database, problem)
        self.database, self.problem = database, problem

    def __str__(self) -> str:
        return f"the store {self.database} cannot be used: {self.problem}"


class NoStore(PauseflowError, LookupError):
    """A command that only reads found no store; `source` names the setting that its place came from, if one did.

    `flags` are those that name the store, for the command that creates it.
    """

    def __init__(self, place: str, source: str | None, flags: str = "") -> None:
        super().__init__(place, source, flags)
        self.place, self.source, self.flags = place, source, flags

    def __str__(self) -> str:
        if self.source is None:
            return (
                f"there is no store yet: {self.place} does not exist. `pauseflow run NOTEBOOK.ipynb` creates it; "
                "--data-dir or PAUSEFLOW_DATA_DIR names a store in another place"
            )
        return (
            f"there is no store at {self.place}, which {self.source} names: correct it, or create a store there with "
            f"`pauseflow run NOTEBOOK.ipynb{self.flags}`"
        )


class StoreDamaged(PauseflowError, ValueError):
    """A value in the database that cannot be read; other rows can still be read."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"a value in the store cannot be read: {self.problem}"


class NotStorable(PauseflowError, ValueError):
    """A value that the database cannot store; nothing was changed, and another attempt would fail, too."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"a value cannot be stored: {self.problem}"


class StorageFull(PauseflowError, OSError):
    """The storage is full: nothing can be written, and what was stored is unchanged."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where
        self.errno = errno.ENOSPC

    def __str__(self) -> str:
        return (
            f"no space left at {self.where}: free some space, then continue with `pauseflow retry`; nothing that was "
            "saved is lost"
        )


class DiskNearlyFull(StorageFull):
    """The disk has too little room for another execution: nothing new is started."""

    def __init__(self, where: str, free: int) -> None:
        super().__init__(where)
        self.args = (where, free)
        self.free = free

    def __str__(self) -> str:
        return (
            f"only {self.free / 1e6:.1f} MB are free at {self.where}: free some space, for example with "
            "`pauseflow gc`; nothing was started"
        )


class QuotaReached(StorageFull):
    """The storage holds as much as the setting `quota` allows: nothing new is started."""

    def __init__(self, where: str, used: int, limit: int) -> None:
        super().__init__(where)
        self.args = (where, used, limit)
        self.used, self.limit = used, limit

    def __str__(self) -> str:
        return (
            f"{self.where} holds {self.used / 1e6:.1f} MB, and no more than {self.limit / 1e6:.1f} MB are allowed: "
            "remove what is not needed any more with `pauseflow gc`, or raise the setting `quota`; nothing was started"
        )


class NoRoomForBody(StorageFull):
    """The storage has no room for a large body: it was not stored, and nothing was settled."""

    def __init__(self) -> None:
        super().__init__("")
        self.args = ()

    def __str__(self) -> str:
        return (
            "the server has no room for a body of this size: nothing was done; send the data another way and a link to "
            "it as the answer, or send it again when there is room"
        )


class SnapshotError(PauseflowError, RuntimeError):
    """The variables could not be saved or restored."""


class Unsaveable(SnapshotError):
    """A variable that later cells need cannot be saved."""

    def __init__(self, name: str, type_name: str, reason: str, cell: int | None = None) -> None:
        super().__init__(name, type_name, reason, cell)
        self.name, self.type_name, self.reason, self.cell = name, type_name, reason, cell

    def __str__(self) -> str:
        made = "" if self.cell is None else f", made in cell {self.cell + 1},"
        return (
            f"variable {self.name!r} ({self.type_name}){made} cannot be saved: {self.reason}. "
            "Make it in a `%%setup` cell, which runs again in every new kernel, or delete it before the pause"
        )


class CannotHandOver(SnapshotError):
    """The next step runs on another machine, and a variable that it needs cannot be saved for it."""

    def __init__(self, step: str, problems: Sequence[str]) -> None:
        super().__init__(step, tuple(problems))
        self.step, self.problems = step, tuple(problems)

    def __str__(self) -> str:
        return (
            f"step {self.step!r} runs in another queue, and not all variables can be moved there: "
            f"{'; '.join(self.problems)}. Make it in a `%%setup` cell, which runs there again, or in the step itself"
        )


class NotRestored(SnapshotError):
    """Variables that later cells need could not be restored in a new kernel; no cell has run without them."""

    def __init__(self, execution: str, losses: Sequence[str]) -> None:
        super().__init__(execution, tuple(losses))
        self.execution, self.losses = execution, tuple(losses)

    def __str__(self) -> str:
        return (
            f"{' '.join(self.losses)} No cell ran, and the answer is stored. Repair the cause, then run "
            f"`pauseflow retry {self.execution}`. To make a variable again that was never saved, "
            "add `--from` with the step that makes it; `--force` continues without the missing variables"
        )


class SnapshotDamaged(SnapshotError):
    """Stored bytes are missing or are not what was written."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"snapshot {self.name} cannot be restored: {self.problem}"


class SnapshotMismatch(SnapshotError):
    """A snapshot made by other versions of Python or packages than this kernel has."""

    def __init__(self, name: str, differences: Sequence[str], way_out: str = "`--force` restores it anyway") -> None:
        super().__init__(name, tuple(differences), way_out)
        self.name, self.differences, self.way_out = name, tuple(differences), way_out

    def __str__(self) -> str:
        return f"snapshot {self.name} was made by another environment: {'; '.join(self.differences)}. {self.way_out}"


class InvalidRecord(PauseflowError, ValueError):
    """A decision record that cannot be read, or whose signature is not valid."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem
