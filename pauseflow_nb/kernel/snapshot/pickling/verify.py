"""Load new pickles as a trial if that may fail, so that problems show now and not after the pause.

Definitions are always tried, because everything depends on them; variables are tried if loading them runs code of
the notebook's own classes. A pickle that was loaded is not tried again until its bytes change.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import chunked
from pauseflow_nb.kernel.snapshot.pickling.finalizers import without_finalizers
from pauseflow_nb.kernel.snapshot.pickling.load_context import Loading
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import describe_error
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, StoredPiece
from pauseflow_nb.kernel.snapshot.storage.packfile import strong_digest

#: Largest pickle that is tried.
_LARGEST = 1 << 20

_proven: set[str] = set()


def find_failure(
    pieces: Sequence[Bytes | StoredPiece],
    buffers: Sequence[memoryview],
    shell: Any,
    definitions: Mapping[str, Any],
    kinds: Iterable[type] = (),
) -> str | None:
    """Load a pickle and forget the result.

    Args:
        pieces: The pickle.
        buffers: Its memory.
        shell: The running shell.
        definitions: The definitions that the pickle may refer to.
        kinds: Types of the objects in it: no `__del__` of theirs runs on what this function loads.

    Returns:
        Why it cannot be loaded; None if it can be.
    """
    unstored = [piece for piece in pieces if not isinstance(piece, StoredPiece)]
    if len(unstored) < len(pieces) or sum(map(len, unstored)) > _LARGEST:
        return None
    digest = "".join(map(strong_digest, unstored))
    if digest in _proven:
        return None
    with without_finalizers(kinds):
        problem = _load(unstored, buffers, shell, definitions)
    if problem is None:
        _proven.add(digest)
    return problem


def _load(
    pieces: Sequence[Bytes], buffers: Sequence[memoryview], shell: Any, definitions: Mapping[str, Any]
) -> str | None:
    loading = Loading({"__name__": "__main__"}, shell, definitions=dict(definitions), is_trial=True)
    with loading, warnings.catch_warnings():
        # They would be shown in the notebook, which did not cause them, or count as errors.
        warnings.simplefilter("ignore")
        try:
            chunked.load(pieces, buffers)
        except Exception as problem:  # noqa: BLE001 - loading runs the code of any class
            return f"it could not be loaded again: {describe_error(problem)}"
    return None
