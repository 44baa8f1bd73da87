import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SESSION = Path(__file__).with_name("session.py")


@dataclass
class Kernels:
    """Runs kernels, each a process of its own, that share a folder of snapshots."""

    directory: Path
    folder: str
    count: int = field(default=0)

    def run(self, *actions: dict[str, Any], cwd: Path | None = None) -> list[dict[str, Any]]:
        """Run one kernel that does these things, and return what came of each."""
        self.count += 1
        out = self.directory / f"answers-{self.count}.json"
        process = subprocess.run(
            [sys.executable, str(SESSION), str(out)],
            input=json.dumps(actions),
            text=True,
            capture_output=True,
            cwd=cwd or self.directory,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        answers: list[dict[str, Any]] = json.loads(out.read_text())
        return answers

    def save(self, *cells: str, cwd: Path | None = None, **options: Any) -> dict[str, Any]:
        """Run cells in a new kernel, save, and return what `save` said."""
        *ran, saved = self.run(*map(cell, cells), {"do": "save", "folder": self.folder, **options}, cwd=cwd)
        for answer in ran:
            assert answer["error"] is None, answer["error"]
        return saved

    def restore(self, saved: dict[str, Any], *cells: str, cwd: Path | None = None, **options: Any) -> dict[str, Any]:
        """Restore in a new kernel, run cells that must not fail, and return what `restore` said."""
        action = {"do": "restore", "folder": self.folder, "ref": saved["ref"], **options}
        restored, *ran = self.run(action, *map(cell, cells), cwd=cwd)
        for answer in ran:
            assert answer["error"] is None, answer["error"]
        return restored


def cell(source: str) -> dict[str, str]:
    return {"do": "run", "cell": source}


@pytest.fixture
def kernels(tmp_path: Path) -> Kernels:
    return Kernels(tmp_path, str(tmp_path / "snapshots"))


@pytest.fixture
def survives(kernels: Kernels) -> Callable[[str, str], None]:
    """Check that what one kernel makes is right in the next."""

    def check(make: str, then: str) -> None:
        saved = kernels.save(make)
        assert saved["unsaved"] == {}
        restored = kernels.restore(saved, then)
        assert restored["unrestored"] == {}

    return check
