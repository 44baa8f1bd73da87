"""Define the result of pickling: a frame that is not stored yet, or the reason why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass

from pauseflow_nb.kernel.snapshot.pickling.pickler import SnapshotPickler
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, StoredPiece
from pauseflow_nb.kernel.snapshot.storage.regions import lay_out


@dataclass(frozen=True)
class Dump:
    """One frame that is not stored yet. Its buffers point into live memory."""

    names: list[str]
    pieces: list[Bytes | StoredPiece]
    buffers: list[memoryview]
    has_definitions: bool
    #: Alive until everything is written: it holds what its buffers and memo point to.
    pickler: SnapshotPickler
    #: What it took to pickle.
    seconds: float = 0.0
    #: The same, and the bytes, for each variable, if that is known.
    costs: Mapping[str, tuple[int, float]] | None = None

    @property
    def size(self) -> int:
        """Bytes, memory that several buffers show counted once."""
        regions, _ = lay_out(self.buffers)
        return sum(map(len, self.pieces)) + sum(region.high - region.low for region in regions)

    def cost_of_each(self) -> Mapping[str, tuple[int, float]]:
        """Return bytes and seconds of each variable; where they were not counted, even shares."""
        if self.costs is not None:
            return self.costs
        return dict.fromkeys(self.names, (self.size // len(self.names), self.seconds / len(self.names)))


@dataclass(frozen=True)
class Refused:
    """A variable that could not be pickled."""

    type_name: str
    reason: str
    #: Type of what inside it is to blame.
    culprit: str = ""
