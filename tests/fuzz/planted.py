"""Targets with faults that were planted: what the tests of the fuzz run itself must see found."""

import os
import threading
from typing import Any

from fuzz.target import pure
from fuzz.trying import main
from hypothesis import strategies as st

__all__: list[str] = []


def _raises(given: int) -> None:
    assert given % 10, "a planted fault"


def _raises_two(given: int) -> None:
    if given % 2:
        raise KeyError(given)
    raise ValueError(given)


def _hangs(given: int) -> None:
    if given % 10 == 0:
        threading.Event().wait()


def _dies(given: int) -> None:
    if given % 50 == 0:
        os._exit(7)


def _loops(given: int) -> None:
    while given % 10 == 0:
        pass


def _is_good(_given: Any) -> None:
    pass


_NUMBERS = st.integers(0, 1000)

if __name__ == "__main__":
    checks = {
        "raises": _raises,
        "raises two": _raises_two,
        "hangs": _hangs,
        "dies": _dies,
        "loops": _loops,
        "good": _is_good,
    }
    main([pure(name, _NUMBERS, check, share=1) for name, check in checks.items()], cpu_seconds=0.5)
