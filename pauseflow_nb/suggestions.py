"""Suggest the name that was probably meant by a misspelt one."""

from collections.abc import Iterable

__all__ = ["did_you_mean", "find_similar", "order_by_likeness"]


def find_similar(word: str, known: Iterable[str]) -> str | None:
    """Find the known name that is most similar to a word; None if none is similar enough."""
    import difflib  # lazily: few names are misspelt

    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def order_by_likeness(word: str, known: Iterable[str]) -> list[str]:
    """List the known names, the most similar to a word first."""
    names = list(known)
    similar = find_similar(word, names)
    return sorted(names, key=lambda name: name != similar)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest a similar name, as the end of a sentence; empty if there is none."""
    similar = find_similar(word, known)
    return "" if similar is None else f": did you mean {similar}?"
