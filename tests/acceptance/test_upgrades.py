"""Earlier versions suspend executions of every kind; this one resumes them all."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.test_wheels import as_it_is_now, last_commit, run, wheel
from conftest import WaitUntil

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(1200)]

#: Commits whose wheels suspend: the oldest schema that is still upgraded in tests, the version before queues, and the last
#: one whose records hold their cells themselves.
COMMITS = ("e70c4bb", "d00af58", "89b73f6")

FIRST = "from pauseflow_nb import flow, steps\nrows = [1, 2, 3]; same = rows"
LAST = "%%step last\nrows.append(4)\nflow.export('total', sum(same))"
KINDS = {
    "suspend": "%%step ask\nflow.suspend('1h', data={'n': 1}, title='Go?')",
    "rerun": "%%step ask\nflow.rerun('1h', context={'n': 1}, max_retries=1)",
    "delay": "%%step ask\nflow.sleep('1h')",
    "schema": "%%step ask\nflow.suspend('1h', schema=int)",
    "approvals": "%%step ask\nflow.suspend('1h', approvals=2)",
    "timeout": "%%step ask\nflow.suspend('2s', on_timeout='resume', default={'by': 'default'})",
    "nested": "%%step ask\nflow.run_notebook('child.ipynb')",
    "pause": "%%step ask\nflow.export('answer', flow.pause('1h'))",
}


class Versions:
    """A store that one version of the command fills and another one empties."""

    def __init__(self, old: Path, new: Path, data: Path) -> None:
        self._old, self._new, self.data = old, new, data

    def old(self, *command: str) -> dict[str, Any]:
        return run(self._old, self.data, *command)

    def new(self, *command: str) -> dict[str, Any]:
        return run(self._new, self.data, *command)

    def knows(self, command: str) -> bool:
        """Whether the old version has a command."""
        program = [sys.executable, "-c", "from pauseflow_nb.cli import main; main()", command, "--help"]
        environment = {**os.environ, "PYTHONPATH": str(self._old)}
        # Elsewhere than in the clone, whose own version Python would find first.
        done = subprocess.run(program, cwd=self.data, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    @contextmanager
    def running(self, version: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command of one version in the background, and kill it."""
        folder = self._old if version == "old" else self._new
        environment = {**os.environ, "PYTHONPATH": str(folder), "PAUSEFLOW_DATA_DIR": str(self.data)}
        program = "from pauseflow_nb.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", program, *command],
            cwd=self.data,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                os.killpg(process.pid, 9)
                process.wait()

    def listed(self, version: Callable[..., Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(json.dumps(version("list")))
        return found


@pytest.fixture(scope="module")
def new_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    as_it_is_now(folder / "sources")
    wheel(folder / "sources", folder / "wheel", "0.1.2")
    return folder / "wheel"


@pytest.fixture(params=COMMITS)
def versions(request: pytest.FixtureRequest, tmp_path: Path, new_wheel: Path) -> Versions:
    last_commit(tmp_path / "sources", request.param)
    wheel(tmp_path / "sources", tmp_path / "old", "0.1.1")
    data = tmp_path / "data"
    data.mkdir()
    write(data / "child.ipynb", "from pauseflow_nb import flow", "%%step inner\nflow.suspend('1h')", "%%step end\n1")
    for kind, step in KINDS.items():
        write(data / f"{kind}.ipynb", FIRST, step, LAST)
    return Versions(tmp_path / "old", new_wheel, data)


def write(path: Path, *sources: str) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources]), path)


def test_what_an_earlier_version_suspended_is_resumed(versions: Versions, wait_until: WaitUntil) -> None:
    waiting = {
        kind: str(versions.old("run", f"{kind}.ipynb", f"{kind}.out.ipynb", "--until-pause")["id"])
        for kind in KINDS
        if kind != "pause"
    }
    with versions.running("old", "run", "pause.ipynb", "pause.out.ipynb"):
        wait_until(
            lambda: "paused" in [each["state"] for each in versions.listed(versions.old)], description="it is paused"
        )
    waiting["pause"] = next(each["id"] for each in versions.listed(versions.old) if each["state"] == "paused")

    first = {name: versions.new("show", execution)["state"] for name, execution in waiting.items()}
    versions.new("resume", waiting["approvals"])
    answers = {"schema": "7", "approvals": '{"n": 2}', "suspend": '{"n": 2}', "pause": '{"n": 2}'}
    ended = {}
    for kind, execution in waiting.items():
        if kind in ("timeout", "approvals"):
            continue
        data = ("--data", answers[kind]) if kind in answers else ()
        ended[kind] = versions.new("resume", execution, *data, "--wait")
    with versions.running("new", "worker"):
        wait_until(
            lambda: versions.new("show", waiting["timeout"])["state"] == "completed", description="the clock acts"
        )
    ended["timeout"] = versions.new("show", waiting["timeout"])

    assert set(first.values()) <= {"suspended", "waiting", "paused", "queued"}
    assert {kind: view["state"] for kind, view in ended.items()} == dict.fromkeys(ended, "completed")
    assert {view["steps"]["last"]["exports"]["total"] for view in ended.values()} == {10}
    assert ended["schema"]["steps"]["ask"]["exports"]["$resume_data"]["body"] == 7
    assert ended["timeout"]["steps"]["ask"]["exports"]["$resume_data"]["body"] == {"by": "default"}
    assert ended["pause"]["steps"]["ask"]["exports"]["answer"] == {"n": 2}
    approvals = versions.new("show", waiting["approvals"])["suspended"][0]["approvals"]
    assert len(approvals["given"]) == 1, "one of two people has approved"


def test_what_was_decided_with_an_earlier_version_is_verified(versions: Versions) -> None:
    if not versions.knows("verify"):
        pytest.skip("that version makes no records")
    ask, again = (f"%%step {name}\nflow.suspend('1h', title='{name}?')" for name in ("ask", "again"))
    write(versions.data / "two.ipynb", FIRST, ask, again, LAST)
    execution = str(versions.old("run", "two.ipynb", "two.out.ipynb", "--until-pause")["id"])
    versions.old("resume", execution, "--wait")
    waiting = versions.new("verify", "two.out.ipynb", "--store")
    sibling = versions.new("fork", execution, "--output", "sibling.out.ipynb")
    ended = [versions.new("resume", str(each), "--wait") for each in (execution, sibling["id"])]
    found = [versions.new("verify", f"{name}.out.ipynb", "--store") for name in ("two", "sibling")]

    assert [view["state"] for view in ended] == ["completed", "completed"]
    assert [each["problems"] for each in (waiting, *found)] == [[], [], []]
    # Two decisions and the end.
    assert [len(each["decisions"]) for each in (waiting, *found)] == [1, 3, 3]
    assert versions.new("report", execution, "-o", "two.html")["problems"] == []


def test_what_an_earlier_version_queued_is_run(versions: Versions, wait_until: WaitUntil) -> None:
    """A trigger has started it: the old version has queued its job, and the new one takes it."""
    write(versions.data / "due.ipynb", FIRST, LAST)
    if not versions.knows("trigger"):
        pytest.skip("that version has no triggers")
    trigger = versions.old("trigger", "add", "due.ipynb", "--every", "10h")
    queued = versions.old("trigger", "run", str(trigger["id"]))
    with versions.running("new", "worker"):
        wait_until(lambda: versions.new("show", str(queued["id"]))["state"] == "completed", description="it runs")

    assert versions.new("show", str(queued["id"]))["steps"]["last"]["exports"]["total"] == 10
    assert [each["id"] for each in versions.listed(lambda *_words: versions.new("trigger", "list"))] == [trigger["id"]]
