"""What a fuzz target is: the inputs that are tried, and the check that no input may fail."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis.strategies import SearchStrategy

__all__ = ["Check", "Target", "pure"]

#: Tries one input; raises if it finds something. An input is made of plain Python values, so that it can be written down.
Check: TypeAlias = Callable[[Any], None]


@dataclass(frozen=True)
class Target:
    """One part of the program that reads what others send."""

    name: str
    inputs: SearchStrategy[Any]
    #: Opens what the inputs are sent to, in an empty folder.
    open: Callable[[Path], AbstractContextManager[Check]]
    #: Of 1000 inputs of a run, how many are for this target.
    share: int
    #: Whether a check is one function call without a file, a database or a thread: those are also fuzzed by coverage.
    is_pure: bool = False
    #: How many inputs `make test` tries.
    slice: int = 40


def pure(name: str, inputs: SearchStrategy[Any], check: Check, *, share: int) -> Target:
    """Make a target of a function that needs nothing but its input."""

    @contextmanager
    def opened(_folder: Path) -> Iterator[Check]:
        yield check

    return Target(name, inputs, opened, share, is_pure=True)
