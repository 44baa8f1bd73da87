"""The target that is a real `pauseflow serve`, reached over HTTP: links, REST API, starts of notebooks, odd paths."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz.links import request_bytes, requests, send
from fuzz.notebooks import notebook_files
from fuzz.target import Check, Target
from fuzz.values import json_values, texts
from hypothesis import strategies as st
from server.conftest import Stage

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

__all__ = ["TARGETS"]

_TOKEN = "letmein"
_PATHS = (
    "/pauseflow/api/executions", "/pauseflow/api/executions/ID", "/pauseflow/api/executions/ID/resume", "/pauseflow/api/executions/ID/cancel",
    "/pauseflow/api/executions/ID/suspend", "/pauseflow/api/executions/ID/retry", "/pauseflow/api/executions/ID/fork",
    "/pauseflow/api/executions/ID/outputs", "/pauseflow/api/executions/ID/events", "/pauseflow/api/health", "/LINK", "/LINK", "/LINK",
    "//LINK", "/pauseflow/resume/", "/pauseflow/", "/pauseflow/api/executions/ODD", "/ODD", "/files/ODD", "/LINK/ODD", "/pauseflow/api/ODD",
)  # fmt: skip
_starts = st.fixed_dictionaries(
    {"notebook": st.one_of(st.just("in.ipynb"), st.just("in.ipynb"), texts)},
    optional={
        "output": st.one_of(st.just("out.ipynb"), texts),
        "parameters": json_values,
        "kernel": texts,
        "checkpoint": texts,
        "execution_timeout": json_values,
        "strict": json_values,
        "x": texts,
    },
)
_inputs = st.fixed_dictionaries(
    {
        "path": st.sampled_from(_PATHS),
        "odd": texts,
        "signed in": st.booleans(),
        "request": requests,
        "notebook": st.one_of(st.none(), st.none(), st.tuples(notebook_files, _starts)),
    }
)


class _Service:
    """The server, and its store."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "work"
        self.root.mkdir()
        self._output = folder / "log"
        with self._output.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pauseflow_nb", "serve", "--port", "0", "--no-worker"],
                env={**os.environ, "PAUSEFLOW_DATA_DIR": str(folder / "data"), "JUPYTER_TOKEN": _TOKEN},
                cwd=self.root,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        found = re.search(r"http://([^:]+):(\d+)", self.process.stdout.readline())
        assert found is not None
        self.host, self.port = found[1], int(found[2])
        self.queue = Queue.open(Settings.load(flags={"data_dir": folder / "data"}, environment={}))
        self.stage = Stage(self.queue)
        self._read = 0

    def close(self) -> None:
        self.queue.close()
        self.process.terminate()
        self.process.communicate()

    def logged(self) -> str:
        """What it has logged since the last time."""
        with self._output.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        return text.decode("utf-8", "replace")


def _ask(service: _Service, path: str, request: dict[str, Any], *, is_signed_in: bool = True) -> int:
    headers = [*request["headers"], *([("Authorization", f"token {_TOKEN}")] if is_signed_in else [])]
    target = "".join(path.split()).replace("\0", "").encode("utf-8", "replace")
    data = request_bytes(target, {**request, "headers": headers}, f"{service.host}:{service.port}")
    answered = send(
        service.host, service.port, data, request["method"], hang_up=request["framing"] in ("short", "broken chunk")
    )
    assert answered.status < 500, f"{answered.status} for {path[:200]!r}: {answered.body[:500]!r}"
    return answered.status


def _check(service: _Service, given: dict[str, Any]) -> None:
    execution = service.stage.suspended()
    token = service.stage.link("resume", execution)
    path = (
        given["path"].replace("ID", execution).replace("LINK", token).replace("ODD", given["odd"].replace("/", "%2F"))
    )
    plain = {"method": "GET", "headers": [], "answer": (None, b""), "framing": "none"}
    try:
        _ask(service, path, given["request"], is_signed_in=given["signed in"])
        if given["notebook"] is not None:
            data, start = given["notebook"]
            (service.root / "in.ipynb").write_bytes(data)
            posted = {
                "method": "POST",
                "headers": [],
                "answer": ("application/json", json.dumps(start).encode()),
                "framing": "length",
            }
            _ask(service, "/pauseflow/api/executions", posted)
        # Whatever came: it lives, and nobody's list is broken.
        assert service.process.poll() is None, "the server has ended"
        assert _ask(service, "/pauseflow/api/executions?limit=20", plain) == 200
        assert _ask(service, f"/pauseflow/api/executions/{execution}", plain) in (200, 404)
        logged = service.logged()
        assert token.rpartition("/")[2] not in logged, "the token was logged"
        # Jupyter Server's own page for 404 fails for a method that it does not know, and logs that.
        assert not ("Traceback" in logged and "pauseflow_nb" in logged), logged[-3000:]
    finally:
        for each in service.queue.list(limit=5):
            service.queue.cancel(each["id"], by="user:fuzz")
        for file in service.root.iterdir():
            if file.is_file():
                file.unlink()


@contextmanager
def _served(folder: Path) -> Iterator[Check]:
    service = _Service(folder)
    try:
        yield lambda given: _check(service, given)
    finally:
        service.close()


TARGETS = [Target("service", _inputs, _served, share=15, slice=10)]
