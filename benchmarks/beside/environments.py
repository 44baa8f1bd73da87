"""Environments of their own, for what asks for other versions of our dependencies, or for much that we do without."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def environment(name: str, title: str, packages: list[str]) -> Path | None:
    """Give the Python of the environment `.venv/NAME`, made if need be; None where it cannot be."""
    folder = Path(__file__).parents[2] / ".venv" / name
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists():
        print(f"installing {title} (once) …", file=sys.stderr, flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=False)
        if made.returncode or subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=False).returncode:
            print(f"could not be installed, and left out: {title}", file=sys.stderr, flush=True)
            return None
        done.touch()
    return python


def same() -> list[str]:
    """Name what a contender must have in the versions that we have, to save the same values."""
    return [f"{name}=={version(name)}" for name in ("numpy", "pandas", "pyarrow", "scikit-learn", "ipython")]
