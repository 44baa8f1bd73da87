"""The browser of the tests: which program, and started how."""

import shutil
from typing import Any

__all__ = ["find", "launch"]

#: Debian's headless shell, as Playwright's own browser is, needs half the processor time of a whole one.
_SHELL = "chromium-headless-shell"
_WHOLE = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Pages live for seconds here: compiling them well takes longer than running them.
    "--js-flags=--no-opt --no-sparkplug --single-threaded-gc",
]


def find(*, is_whole: bool = False) -> str | None:
    """Return the path of a Chromium, if there is one; `is_whole`: of one that has all that people's browsers have."""
    return next(filter(None, map(shutil.which, _WHOLE if is_whole else (_SHELL, *_WHOLE))), None)


def launch(driver: Any, path: str) -> Any:
    """Start a browser with Playwright's driver."""
    return driver.chromium.launch(executable_path=path, args=_FLAGS)
