"""Refuse to save what holds the text of a secret: a snapshot lies on a disk, and has names of secrets only."""

import pickle
from collections.abc import Iterable
from typing import Any

from pauseflow_nb.kernel.secret import MASK
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, StoredPiece

__all__ = ["HoldsSecret", "have_secret", "holds_secret", "refuse_secrets"]

#: Numbers in more memory than this are not looked through; texts always are.
_LARGEST_NUMBERS = 1 << 20
#: Memory is looked through in pieces of this size.
_PIECE = 16 << 20


class HoldsSecret(CannotSave):
    """A pickle holds the text of a secret."""

    def __init__(self) -> None:
        super().__init__(
            "it holds the text of a secret, which no snapshot may hold; a `%%setup` cell makes it again in every new kernel"
        )


def refuse_secrets(pieces: Iterable[Bytes | StoredPiece], buffers: Iterable[memoryview] = ()) -> None:
    """Check that a pickle holds no text of a secret that this kernel has fetched.

    Args:
        pieces: The pickle; what is stored already was checked then.
        buffers: Its memory.

    Raises:
        HoldsSecret: If it does.
    """
    if have_secret(pieces, buffers):
        raise HoldsSecret


def have_secret(pieces: Iterable[Bytes | StoredPiece], buffers: Iterable[memoryview] = ()) -> bool:
    """Whether a pickle holds the text of a secret that this kernel has fetched; see `refuse_secrets`."""
    wanted = MASK.encoded()
    if not wanted:
        return False
    at_hand = (memoryview(piece) for piece in pieces if not isinstance(piece, StoredPiece))
    raw = (buffer for buffer in buffers if not _is_of_numbers(buffer))
    return any(_is_in(wanted, memory) for memory in (*at_hand, *raw))


def holds_secret(value: Any) -> bool:
    """Whether a value that pickle can take apart holds the text of a secret."""
    return bool(MASK) and have_secret([pickle.dumps(value, 5)])


def _is_in(wanted: list[bytes], memory: memoryview) -> bool:
    overlap = max(map(len, wanted)) - 1
    flat = memory.cast("B") if memory.nbytes else memory
    for start in range(0, memory.nbytes, _PIECE):
        piece = bytes(flat[start : start + _PIECE + overlap])
        if any(each in piece for each in wanted):
            return True
    return False


def _is_of_numbers(buffer: memoryview) -> bool:
    kind = getattr(getattr(buffer.obj, "dtype", None), "kind", "")
    return buffer.nbytes > _LARGEST_NUMBERS and kind in set("biufcmM")
