"""Compare the kernel that made a snapshot with this one, and list the differences."""

import contextlib
import functools
import importlib
import platform
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from pauseflow_nb.kernel.snapshot import reconstruct
from pauseflow_nb.kernel.snapshot.pickling import cloudpickle_private


def describe_maker(modules: Iterable[str]) -> dict[str, Any]:
    """Describe this kernel: Python, machine, and the packages of the named modules."""
    packages = _find_versions(sorted(modules))
    return {
        "python": list(sys.version_info[:3]),
        **_machine(),
        "pauseflow_nb": _version("pauseflow_nb"),
        "reconstruct": reconstruct.PROTOCOL,
        "cloudpickle": {"version": _version("cloudpickle"), "supported": list(cloudpickle_private.SUPPORTED)},
        "packages": packages,
    }


def find_differences(there: dict[str, Any]) -> list[str]:
    """List the differences from the kernel that made a snapshot, as far as they matter for loading.

    The minor version of Python must be the same, because functions are saved as bytecode; so must those of the
    packages whose objects are in the snapshot. Smaller differences are considered fixes.
    """
    found = []
    for what, value in _machine().items():
        if there.get(what) != value:
            found.append(f"{what} {there.get(what)} there, {value} here")
    if there["python"][:2] != list(sys.version_info[:2]):
        found.append(f"Python {_dotted(there['python'])} there, {_dotted(sys.version_info[:3])} here")
    found += _format_differences(there)
    for package, version in sorted(there.get("packages", {}).items()):
        installed = _installed(package)
        if installed is None:
            found.append(f"{package} {version} there, not installed here")
        elif _minor(installed) != _minor(version):
            found.append(f"{package} {version} there, {installed} here")
    return found


def _format_differences(there: dict[str, Any]) -> list[str]:
    """List formats that this version of pauseflow_nb or cloudpickle cannot read."""
    found = []
    # Schema 2 has neither; every later version can read it.
    if there.get("reconstruct", 0) > reconstruct.PROTOCOL:
        maker = there.get("pauseflow_nb") or "a later version"
        found.append(
            f"pickles of protocol {there['reconstruct']} there (pauseflow_nb {maker}), "
            f"at most {reconstruct.PROTOCOL} here (pauseflow_nb {_version('pauseflow_nb')})"
        )
    low, high = cloudpickle_private.SUPPORTED
    sides = {"there": there.get("cloudpickle", {}).get("version") or low, "here": _version("cloudpickle") or ""}
    if not all(_release(low) <= _release(version) < _release(high) for version in sides.values()):
        found.append(
            f"cloudpickle {sides['there']} there, {sides['here']} here, and only >={low},<{high} is known to work"
        )
    return found


def _release(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:2]]


def _machine() -> dict[str, str]:
    return {
        "implementation": platform.python_implementation(),
        "platform": sys.platform,
        "machine": platform.machine(),
        "byteorder": sys.byteorder,
    }


def _dotted(version: Any) -> str:
    return ".".join(str(part) for part in version)


def _minor(version: str) -> list[str]:
    return version.split("+", maxsplit=1)[0].split(".")[:2]


def _installed(module: str) -> str | None:
    # Needed next anyway, or the snapshot cannot be loaded.
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
        return _version(module)
    return None


def _find_versions(modules: Iterable[str]) -> dict[str, str]:
    versions = {}
    for module in modules:
        if not module.startswith("_") and module not in sys.stdlib_module_names and module not in _OURS:
            version = _version(module)
            if version is not None:
                versions[module] = version
    return versions


#: `__main__` is the notebook; our own pickles are versioned by the manifest's schema.
_OURS = {"__main__", "pauseflow_nb", "IPython", "ipykernel", "cloudpickle"}


@functools.lru_cache(maxsize=1024)
def _version(module: str) -> str | None:
    version = getattr(sys.modules.get(module), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        return None
