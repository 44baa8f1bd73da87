"""Files at an address: papermill's readers and writers, and fsspec for what they do not know.

Whatever they raise is what the client of that place raises.
"""

from typing import Any

__all__ = ["read", "write"]


def read(url: str) -> str:
    """Read a text."""
    handler = _handler(url)
    if handler is not None:
        text = handler.read(url)
        return text.decode() if isinstance(text, bytes | bytearray) else str(text)
    import fsspec  # type: ignore[import-untyped]

    with fsspec.open(url, encoding="utf-8", mode="r") as file:
        return str(file.read())


def write(text: str, url: str) -> None:
    """Write a text over whatever is there."""
    handler = _handler(url)
    if handler is not None:
        handler.write(text, url)
        return
    import fsspec

    with fsspec.open(url, encoding="utf-8", mode="w") as file:
        file.write(text)


def _handler(url: str) -> Any:
    """Give papermill's own for this kind of address, if it has one."""
    # Lazily: few notebooks are elsewhere, and its handlers take long to load.
    from papermill.iorw import LocalHandler, papermill_io

    handler = papermill_io.get_handler(url)
    return None if isinstance(handler, LocalHandler) else handler
