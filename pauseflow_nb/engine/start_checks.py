"""Whether there is room for another execution. Asked before it starts: a full disk in its middle helps nobody."""

from pauseflow_nb.errors import DiskNearlyFull, QuotaReached
from pauseflow_nb.store.files import Files

__all__ = ["require_room"]

#: Bytes that the disk must have beyond the notebook itself: the database needs to write, too.
_RESERVE = 16 * 1024**2


def require_room(files: Files, quota: int | None, size: int) -> None:
    """Refuse a new execution if the storage is at its quota, or its disk nearly full.

    Args:
        files: The storage.
        quota: Bytes that it may hold; None: no limit.
        size: Bytes that the execution begins with.

    Raises:
        QuotaReached: If the quota is reached; nothing has been written.
        DiskNearlyFull: If the disk is nearly full; nothing has been written.
    """
    if quota is not None and (used := files.used()) + size > quota:
        raise QuotaReached(files.url, used, quota)
    free = files.free()
    if free is not None and free < _RESERVE + size:
        raise DiskNearlyFull(files.url, free)
