"""Refuse to save values that contain the text of a secret, because snapshots contain only names of secrets."""

import pickle
from collections.abc import Iterable
from typing import Any

from pauseflow_nb.kernel.secret import MASK
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, StoredPiece

#: Name of the type in the error when a value is refused here.
SECRET = "Secret"  # noqa: S105 (the name of a type)
#: Most bytes of numbers that are searched; texts are always searched.
_LARGEST_NUMBERS = 1 << 20
#: Bytes of memory that are searched at a time.
_PIECE = 16 << 20


class HoldsSecret(CannotSave):
    """A pickle contains the text of a secret."""

    def __init__(self) -> None:
        super().__init__(
            "it contains the text of a secret, which no snapshot may contain; keep what `flow.secret` returns itself, "
            "and make such a text where it is used"
        )


def refuse_secrets(pieces: Iterable[Bytes | StoredPiece], buffers: Iterable[memoryview] = ()) -> None:
    """Check that a pickle does not contain the text of a secret that this kernel has fetched.

    Args:
        pieces: The pickle; stored pieces were checked before.
        buffers: Its memory.

    Raises:
        HoldsSecret: If it contains one.
    """
    if have_secret(pieces, buffers):
        raise HoldsSecret


def have_secret(pieces: Iterable[Bytes | StoredPiece], buffers: Iterable[memoryview] = ()) -> bool:
    """Whether a pickle contains the text of a secret that this kernel has fetched; see `refuse_secrets`."""
    if not MASK:
        return False
    unstored = (memoryview(piece) for piece in pieces if not isinstance(piece, StoredPiece))
    raw = (buffer for buffer in buffers if not _is_of_numbers(buffer))
    return any(map(_is_in, (*unstored, *raw)))


def holds_secret(value: Any) -> bool:
    """Whether a value that can be pickled contains the text of a secret."""
    return bool(MASK) and have_secret([pickle.dumps(value, 5)])


def _is_in(memory: memoryview) -> bool:
    flat = memory.cast("B") if memory.nbytes else memory
    size = _PIECE + MASK.longest
    return any(MASK.is_in_memory(bytes(flat[start : start + size])) for start in range(0, memory.nbytes, _PIECE))


def _is_of_numbers(buffer: memoryview) -> bool:
    # Raw memory is passed as bytes; its owner knows their type.
    owner = getattr(getattr(buffer.obj, "base", None), "owner", buffer.obj)
    kind = getattr(getattr(owner, "dtype", None), "kind", "")
    is_tensor = type(owner).__module__.partition(".")[0] == "torch"
    return buffer.nbytes > _LARGEST_NUMBERS and (is_tensor or kind in set("biufcmM"))
