import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from kernel_snapshot.type_results import Results

SESSION = Path(__file__).with_name("session.py")

#: Programs that fork a kernel for each line that they read.
Nurseries: TypeAlias = "list[subprocess.Popen[str]]"


@dataclass
class Kernels:
    """Runs kernels, each a process of its own, that share a folder of snapshots."""

    directory: Path
    folder: str
    nurseries: Nurseries
    count: int = field(default=0)

    def run(self, *actions: dict[str, Any], cwd: Path | None = None) -> list[dict[str, Any]]:
        """Run one kernel that does these things, and return what came of each."""
        return self.begin(*actions, cwd=cwd)()

    def begin(
        self, *actions: dict[str, Any], cwd: Path | None = None, nursery: "subprocess.Popen[str] | None" = None
    ) -> Callable[[], list[dict[str, Any]]]:
        """Start a kernel that does these things; what is returned waits for it."""
        self.count += 1
        out = self.directory / f"answers-{self.count}.json"
        output = out.with_suffix(".txt")
        born = nursery or self.nurseries[self.count % len(self.nurseries)]
        assert born.stdin is not None
        request = {"actions": actions, "out": str(out), "output": str(output), "cwd": str(cwd or self.directory)}
        born.stdin.write(json.dumps({**request, "environment": dict(os.environ)}) + "\n")
        born.stdin.flush()

        def answers() -> list[dict[str, Any]]:
            assert born.stdout is not None
            assert born.stdout.readline() == "0\n", output.read_text()
            given: list[dict[str, Any]] = json.loads(out.read_text())
            return given

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


def nursery() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, str(SESSION)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="session")
def nurseries() -> Iterator[Nurseries]:
    """Two, which hash texts differently, as any two processes do: what one's kernels save, the other's restore."""
    started = [nursery() for _ in range(2)]
    yield started
    for process in started:
        process.communicate()


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, nurseries: Nurseries) -> "Results":
    """What came of the rows of the table of types."""
    from kernel_snapshot.type_results import Results  # it imports this module

    return Results(tmp_path_factory.mktemp("types"), nurseries)


@pytest.fixture
def kernels(tmp_path: Path, nurseries: Nurseries) -> Kernels:
    return Kernels(tmp_path, str(tmp_path / "snapshots"), nurseries)


@pytest.fixture
def survives(kernels: Kernels) -> Callable[[str, str], None]:
    """Check that what one kernel makes is right in the next."""

    def check(make: str, then: str) -> None:
        saved = kernels.save(make)
        assert saved["unsaved"] == {}
        restored = kernels.restore(saved, then)
        assert restored["unrestored"] == {}

    return check
