"""Read and write text at a URL, with the handlers of papermill, or with fsspec for URLs that papermill does not know.

Errors are those of the client for the kind of URL.
"""

from typing import Any

__all__ = ["read", "write"]


def read(url: str) -> str:
    """Read the text at a URL; `-` is standard input."""
    handler = _find_handler(url)
    if handler is not None:
        text = handler.read(url)
        return text.decode() if isinstance(text, bytes | bytearray) else str(text)
    import fsspec  # type: ignore[import-untyped]

    with fsspec.open(url, encoding="utf-8", mode="r") as file:
        return str(file.read())


def write(text: str, url: str) -> None:
    """Write text at a URL, and replace what is there."""
    handler = _find_handler(url)
    if handler is not None:
        handler.write(text, url)
        return
    import fsspec

    with fsspec.open(url, encoding="utf-8", mode="w") as file:
        file.write(text)


def _find_handler(url: str) -> Any:
    """Find the handler of papermill for a URL; None if it has none."""
    # Lazily: few notebooks are at a URL, and the handlers take long to import.
    from papermill.iorw import LocalHandler, papermill_io

    handler = papermill_io.get_handler(url)
    return None if isinstance(handler, LocalHandler) else handler
