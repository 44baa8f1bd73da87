"""Read and write text in files and at URLs, with the handlers of papermill, or with fsspec for URLs it does not know.

Errors are those of the client for the kind of URL.
"""

import errno
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pauseflow_nb import remote_files
from pauseflow_nb.errors import InvalidOutput, StoreUnavailable

#: Packages that papermill's handlers need.
_NEEDED = {"s3": "boto3", "gs": "gcsfs"}


def require_client(url: str) -> None:
    """Check that the packages for the URL of an output are installed.

    Raises:
        InvalidOutput: If one is missing; says what to install.
    """
    try:
        if _find_handler(url) is None:
            remote_files.require_client(url)
    except StoreUnavailable as problem:
        raise InvalidOutput(url, f"cannot be used: {problem.problem}") from None


def read(url: str) -> str:
    """Read the text at a URL; `-` is standard input."""
    handler = _find_handler(url)
    if handler is not None:
        text = handler.read(url)
        return text.decode() if isinstance(text, bytes | bytearray) else str(text)
    system, path = remote_files.open_filesystem(url)
    with system.open(path, encoding="utf-8", mode="r") as file:
        return str(file.read())


def read_local(path: Path) -> str:
    """Read a file on this machine as UTF-8 text.

    Raises:
        OSError: If it cannot be read, or is a device: such as `/dev/zero`, which never ends.
        UnicodeDecodeError: If it is not UTF-8.
    """
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "it is a device, not a file")
    return path.read_text(encoding="utf-8")


def write(text: str, url: str) -> None:
    """Write text at a URL, replacing an existing file."""
    handler = _find_handler(url)
    if handler is not None:
        handler.write(text, url)
        return
    system, path = remote_files.open_filesystem(url)
    with system.open(path, encoding="utf-8", mode="w") as file:
        file.write(text)


def _find_handler(url: str) -> Any:
    """Find the handler of papermill for a URL; None if it has none."""
    # Lazily: few notebooks are at a URL, and the handlers take long to import.
    from papermill.iorw import LocalHandler, papermill_io

    needed = _NEEDED.get(url.partition("://")[0])
    if needed is not None and find_spec(needed) is None:
        # fsspec may support the URL, or says what to install.
        return None
    handler = papermill_io.get_handler(url)
    return None if isinstance(handler, LocalHandler) else handler
