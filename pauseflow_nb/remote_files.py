"""Open the file system of a URL with fsspec, and say what to install if its client is missing."""

from importlib.util import find_spec
from typing import Any

from pauseflow_nb.errors import StoreUnavailable

#: Scheme of a URL → package to install, where fsspec names another package or none.
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "pauseflow_nb[s3]"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    **dict.fromkeys(("hdfs", "arrow_hdfs"), "pyarrow"),
    **dict.fromkeys(("http", "https"), "aiohttp requests"),
    "smb": "smbprotocol",
    "webhdfs": "requests",
}
#: Package → name of its module.
_MODULES = {"pauseflow_nb[s3]": "s3fs", "aiohttp requests": "aiohttp"}


def open_filesystem(url: str) -> tuple[Any, str]:
    """Open the file system of a URL.

    Returns:
        The file system of fsspec, and the path in it.

    Raises:
        StoreUnavailable: If there is no such kind of URL, its client is not installed, or it cannot be opened.
    """
    # Lazily: clients of object stores take long to load, and most stores are folders.
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    require_client(url)
    try:
        system, root = url_to_fs(url)
    except (ValueError, ImportError) as problem:
        raise StoreUnavailable(url, str(problem)) from None
    return system, str(root)


def require_client(url: str) -> None:
    """Check that the client for a URL is installed, without loading it or connecting.

    Raises:
        StoreUnavailable: If there is no such kind of URL, or its client is not installed.
    """
    from fsspec.registry import known_implementations, registry  # type: ignore[import-untyped]

    # In a chain of fsspec, the part after the last `::` is the storage.
    for part in url.split("::"):
        kind, _, rest = part.partition("://")
        known = known_implementations.get(kind)
        if known is None:
            if rest and kind not in registry:
                named = "such as s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or abfs://CONTAINER/FOLDER"
                raise StoreUnavailable(url, f"there is no storage {kind}://: use a folder, or a URL {named}")
            continue
        module = str(known["class"]).partition(".")[0]
        package = _PACKAGES.get(kind, None if module == "fsspec" else module)
        if package is not None and find_spec(_MODULES.get(package, package)) is None:
            quoted = f"'{package}'" if "[" in package else package
            raise StoreUnavailable(url, f"{kind}:// needs a package that is not installed: run `pip install {quoted}`")
