"""Define the results of pickling: a frame that is not stored yet, or a refusal with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass

from pauseflow_nb.kernel.snapshot.pickling.pickler import SnapshotPickler
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, StoredPiece
from pauseflow_nb.kernel.snapshot.storage.regions import lay_out


@dataclass(frozen=True)
class Dump:
    """A frame that is not stored yet, with buffers in live memory."""

    names: list[str]
    pieces: list[Bytes | StoredPiece]
    buffers: list[memoryview]
    has_definitions: bool
    #: Kept until everything is written: it owns the objects of its buffers and memo.
    pickler: SnapshotPickler
    #: Seconds that pickling took.
    seconds: float = 0.0
    #: Bytes and seconds of each variable, if they are known.
    costs: Mapping[str, tuple[int, float]] | None = None

    @property
    def size(self) -> int:
        """Return the size in bytes, counting shared memory once."""
        regions, _ = lay_out(self.buffers)
        return sum(map(len, self.pieces)) + sum(region.high - region.low for region in regions)

    def cost_of_each(self) -> Mapping[str, tuple[int, float]]:
        """Return bytes and seconds of each variable, or equal shares if they were not counted."""
        if self.costs is not None:
            return self.costs
        return dict.fromkeys(self.names, (self.size // len(self.names), self.seconds / len(self.names)))


@dataclass(frozen=True)
class Refused:
    """A variable that could not be pickled."""

    type_name: str
    reason: str
    #: Type of the object inside it that cannot be pickled.
    culprit: str = ""
