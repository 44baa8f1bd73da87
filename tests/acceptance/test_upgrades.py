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

#: Commits whose wheels suspend: the oldest schema that is still upgraded in tests, and the version before queues.
COMMITS = ("e70c4bb", "d00af58")

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


def test_what_an_earlier_version_queued_is_run(versions: Versions, wait_until: WaitUntil) -> None:
    """A run that was stopped before its end, and one that a trigger started: their jobs were queued by the old version."""
    write(versions.data / "due.ipynb", FIRST, LAST)
    help_text = subprocess.run(
        [sys.executable, "-c", "from pauseflow_nb.cli import main; main()", "--help"],
        env={**os.environ, "PYTHONPATH": str(versions._old)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "trigger" not in help_text:
        pytest.skip("that version has no triggers")
    trigger = versions.old("trigger", "add", "due.ipynb", "--every", "10h")
    queued = versions.old("trigger", "run", str(trigger["id"]))
    with versions.running("new", "worker"):
        wait_until(lambda: versions.new("show", str(queued["id"]))["state"] == "completed", description="it runs")

    assert versions.new("show", str(queued["id"]))["steps"]["last"]["exports"]["total"] == 10
    assert [each["id"] for each in versions.listed(lambda *_words: versions.new("trigger", "list"))] == [trigger["id"]]
