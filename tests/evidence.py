"""What browsers showed when a test failed, kept in `tests/screenshots/failed` for people and for continuous integration."""

import re
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FAILED", "has_failed", "keep", "watch"]

FAILED = Path(__file__).parent / "screenshots" / "failed"

_PAGES = pytest.StashKey[list[tuple[Any, list[str]]]]()
_HAS_FAILED = pytest.StashKey[bool]()


def watch(item: pytest.Item, page: Any) -> None:
    """Note what a page of Playwright says in a test, and keep it if the test fails while the page is open."""
    messages: list[str] = []
    page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: messages.append(f"pageerror: {error}\n{error.stack}"))
    page.on("requestfailed", lambda request: messages.append(f"requestfailed: {request.url} {request.failure}"))
    item.stash.setdefault(_PAGES, []).append((page, messages))


def has_failed(item: pytest.Item) -> bool:
    """Whether a test that showed pages has failed, now or when it was run before."""
    return item.stash.get(_HAS_FAILED, False)


def keep(item: pytest.Item) -> Path | None:
    """Keep a picture, the HTML and the console of each page that is open in a test.

    Returns:
        The folder with all of it; None if no page is open.
    """
    item.stash[_HAS_FAILED] = True
    pages = [(page, messages) for page, messages in item.stash.get(_PAGES, []) if not page.is_closed()]
    if not pages:
        return None
    folder = FAILED / re.sub(r"[^\w.-]+", "-", f"{item.path.stem}-{item.name}")
    folder.mkdir(parents=True, exist_ok=True)
    for number, (page, messages) in enumerate(pages, start=1):
        (folder / f"console-{number}.txt").write_text("\n".join([page.url, *messages, ""]), encoding="utf-8")
        try:
            page.screenshot(path=folder / f"page-{number}.png", timeout=10_000)
            (folder / f"page-{number}.html").write_text(page.content(), encoding="utf-8")
        except Exception as problem:  # noqa: BLE001 - a page that hangs is why the test fails; the rest is still of use
            (folder / f"problem-{number}.txt").write_text(f"{problem}\n", encoding="utf-8")
    return folder
