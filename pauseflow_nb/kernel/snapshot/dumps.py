"""What pickling leaves: a frame that is not stored yet, or a reason why there is none."""

from dataclasses import dataclass

from pauseflow_nb.kernel.snapshot.pickler import SnapshotPickler
from pauseflow_nb.kernel.snapshot.pieces import Bytes

__all__ = ["Dump", "Refused"]


@dataclass(frozen=True)
class Dump:
    """One frame that is not stored yet. Its buffers point into live memory."""

    names: list[str]
    pieces: list[Bytes]
    buffers: list[memoryview]
    has_definitions: bool
    #: Alive until everything is written: it holds what its buffers and memo point to.
    pickler: SnapshotPickler


@dataclass(frozen=True)
class Refused:
    """A variable that could not be pickled."""

    type_name: str
    reason: str
    #: Type of what inside it is to blame.
    culprit: str = ""
