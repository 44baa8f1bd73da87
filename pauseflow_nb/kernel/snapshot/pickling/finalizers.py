"""Prevent `__del__` of objects that were made only as a trial, or that are incomplete."""

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any


@contextlib.contextmanager
def without_finalizers(kinds: Iterable[type]) -> Iterator[None]:
    """Disable `__del__` of objects of these types that this thread makes and drops in a `with` block.

    It would close or remove resources of the original: a copy has the same files and names.
    """
    owners = {base for kind in kinds for base in kind.__mro__ if isinstance(vars(base).get("__del__"), FunctionType)}
    if not owners:
        yield
        return
    # Objects that the notebook dropped before are finalized as usual; young ones after this were made in the block.
    gc.collect(0)
    originals = {owner: vars(owner)["__del__"] for owner in owners}
    for owner, original in originals.items():
        _set(owner, _elsewhere_only(original))
    try:
        yield
    finally:
        gc.collect(0)
        for owner, original in originals.items():
            _set(owner, original)


@contextlib.contextmanager
def quiet_finalizers() -> Iterator[None]:
    """Hide errors of `__del__` in a `with` block: an incomplete object lacks what its class expects."""
    before = sys.unraisablehook

    def show(unraisable: Any) -> None:
        if getattr(unraisable.object, "__name__", "") != "__del__":
            before(unraisable)

    sys.unraisablehook = show
    try:
        yield
    finally:
        if sys.unraisablehook is show:
            sys.unraisablehook = before


def _elsewhere_only(original: Callable[[Any], None]) -> Callable[[Any], None]:
    this_thread = threading.get_ident()

    def __del__(self: Any) -> None:  # noqa: N807 - it stands for one
        if threading.get_ident() != this_thread:
            original(self)

    return __del__


def _set(owner: type, finalizer: Callable[[Any], None]) -> None:
    with contextlib.suppress(TypeError):
        # Not `setattr`, which a metaclass may override.
        type.__setattr__(owner, "__del__", finalizer)
