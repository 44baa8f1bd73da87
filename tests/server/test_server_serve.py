"""`serve` as a process: its one line, its clean end, its worker."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import nbformat
import pytest
from tornado.simple_httpclient import HTTPTimeoutError

from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import NoWorker
from pauseflow_nb.launching import require_worker
from pauseflow_nb.server.api.handlers import ROUTES
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import reading

if TYPE_CHECKING:
    from server.conftest import Send, Stage

#: What Jupyter Server would serve to whoever is signed in.
JUPYTERS = (
    "files/secret.txt",
    "files/../secret.txt",
    "api/contents/secret.txt",
    "api/contents",
    "nbconvert/html/secret.ipynb",
    "view/secret.txt",
    "tree",
    "lab",
    "api/kernels",
    "api/kernelspecs",
    "api/sessions",
    "api/terminals",
    "api/status",
    "api/config/notebook",
    "api/me",
    "api/spec.yaml",
    "metrics",
    "static/../secret.txt",
    "static/secret.txt",
    "custom/custom.css",
    "shutdown",
)

#: All that may be served of Jupyter: signing in, what the page for it needs, live events, and answers to other paths.
JUPYTERS_RULES = {
    (r"/login$", "LoginFormHandler"),
    (r"/logout$", "LogoutHandler"),
    (r"/static/(.*)$", "FileFindHandler"),
    (r"/(robots\.txt)$", "FileFindHandler"),
    (r"/(favicon\.ico)$", "FileFindHandler"),
    (r"/(robots\.txt|favicon\.ico)$", "PublicStaticFileHandler"),
    (r"/api/security/csp-report$", "CSPReportHandler"),
    (r"/api/events/subscribe$", "SubscribeWebsocket"),
    (r"/.*/$", "TrailingSlashHandler"),
    (r"/?$", "RedirectWithParams"),
    (r"(.*)$", "Template404"),
}

#: Prints pattern, handler and module of each rule, and ends.
RULES = """
import os, signal, sys
from jupyter_server.serverapp import ServerApp
from tornado.routing import RuleRouter
from pauseflow_nb.server.serve import serve
from pauseflow_nb.settings import Settings

def show(router):
    for rule in router.rules:
        if isinstance(rule.target, RuleRouter):
            show(rule.target)
        else:
            print(rule.matcher.regex.pattern, rule.target.__name__, rule.target.__module__)

def announce(url, token):
    show(ServerApp.instance().web_app.default_router)
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)

serve(Settings.load(), port=0, start_worker=False, announce=announce)
"""

PROGRAM = """
import sys
from pauseflow_nb.server.serve import serve
from pauseflow_nb.settings import Settings
serve(Settings.load(), port=int(sys.argv[1]), start_worker=sys.argv[2] == "worker")
"""

Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def call(port: int = 0, worker: str = "") -> "subprocess.Popen[str]":
        environment = {**os.environ, "PAUSEFLOW_DATA_DIR": str(settings.data_dir), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
        environment.pop("JUPYTER_TOKEN", None)
        arguments = [sys.executable, "-c", PROGRAM, str(port), worker]
        running.append(
            subprocess.Popen(
                arguments, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return running[-1]

    yield call
    for process in running:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(start: Start, tmp_path: Path) -> tuple[str, str]:
    """A server in a folder with a file; its base and its token."""
    (tmp_path / "secret.txt").write_text("hidden")
    return ready_line(start())


def ready_line(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"pauseflow is ready at (http://127\.0\.0\.1:\d+/) \(token (\w+)\)\n", line)
    assert found, line
    return found[1], found[2]


def test_it_says_where_it_is_and_answers_there(send: "Send", stage: "Stage", start: Start) -> None:
    execution = stage.suspended()
    process = start()
    base, token = ready_line(process)

    health = send("GET", f"{base}pauseflow/api/health")
    listed = send("GET", f"{base}pauseflow/api/executions", headers={"Authorization": f"token {token}"})
    link = loads(listed.body)["executions"][0]["suspended"][0]["resume_url"]

    assert health.code == 200
    assert link.startswith(base)
    assert send("POST", link).code == 200
    assert send("GET", f"{base}api/kernels", headers={"Authorization": f"token {token}"}).code == 404
    assert stage.queue.state(execution) == "queued"


def test_nothing_of_jupyter_is_served_to_a_user_who_is_signed_in(send: "Send", served: tuple[str, str]) -> None:
    base, token = served

    for method in ("GET", "POST", "PUT", "DELETE"):
        for path in JUPYTERS:
            answer = send(method, f"{base}{path}", headers={"Authorization": f"token {token}"})
            assert answer.code in {403, 404, 405}, (method, path)
            assert b"hidden" not in (answer.body or b"")


@pytest.mark.thorough
def test_what_the_login_page_and_the_panel_need_is_served(send: "Send", served: tuple[str, str]) -> None:
    base, token = served

    assert b"<form" in send("GET", f"{base}login").body
    assert send("GET", f"{base}static/style/style.min.css").code in {200, 404}
    # A websocket: without an upgrade it is refused, and not unknown.
    assert send("GET", f"{base}api/events/subscribe", headers={"Authorization": f"token {token}"}).code == 400


@pytest.mark.thorough
def test_no_rule_of_the_served_application_is_unexpected(settings: Settings, tmp_path: Path) -> None:
    environment = {**os.environ, "PAUSEFLOW_DATA_DIR": str(settings.data_dir), "JUPYTER_RUNTIME_DIR": str(tmp_path)}

    printed = subprocess.run(
        [sys.executable, "-c", RULES], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout

    rules = {tuple(line.split()) for line in printed.splitlines()}
    others = {(pattern, handler) for pattern, handler, module in rules if not module.startswith("pauseflow_nb.server.")}
    assert {pattern for pattern, _, _ in rules} >= {re.sub(r"{\w+}", "([^/]+)", path) + "$" for path in ROUTES}
    assert others <= JUPYTERS_RULES


@pytest.mark.slow
def test_each_answer_that_a_stopping_server_has_settled_gets_its_reply(stage: "Stage", start: Start) -> None:
    ids = [stage.suspended() for _ in range(60)]
    process = start()
    base, _ = ready_line(process)
    left, replied, seen = iter(ids), [], threading.Semaphore(0)

    def send_on() -> None:
        for execution in left:
            connection = HTTPConnection(str(urlsplit(base).hostname), int(urlsplit(base).port or 0), timeout=60)
            with closing(connection), suppress(OSError, HTTPException):
                connection.request("POST", f"/{stage.link('resume', execution)}", "{}")
                if connection.getresponse().status == 200:
                    replied.append(execution)
            seen.release()

    senders = [threading.Thread(target=send_on) for _ in range(6)]
    for sender in senders:
        sender.start()
    for _ in range(10):
        seen.acquire()
    process.send_signal(signal.SIGTERM)
    for sender in senders:
        sender.join()
    process.wait(60)

    settled = {each for each in ids if stage.queue.state(each) == "queued"}
    assert settled == set(replied)
    assert len(settled) >= 10


@pytest.mark.thorough
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_calmly_and_says_goodbye(queue: Queue, start: Start, how: signal.Signals) -> None:
    process = start()
    ready_line(process)
    assert queue.live_server_url() is not None

    process.send_signal(how)
    out, err = process.communicate(timeout=120)

    assert process.returncode == 0
    assert (out, "Traceback" in err) == ("", False)
    assert queue.live_server_url() is None


@pytest.mark.thorough
def test_settings_of_every_kind_reach_the_server(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "SMTP_PORT": "2525",
        "SMTP_SECURITY": "none",
        "NOTIFY": '{"team": "json://127.0.0.1:9/"}',
        "QUOTA": "1 GiB",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"PAUSEFLOW_{name}", value)
    process = start()
    ready_line(process)
    process.send_signal(signal.SIGTERM)

    assert "error" not in process.communicate(timeout=120)[1]


@pytest.mark.thorough
def test_a_port_in_use_is_an_error(start: Start, base: str) -> None:
    process = start(int(base.rpartition(":")[2]))

    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (1, "")
    assert "is taken by another program" in err


@pytest.mark.thorough
def test_health_is_200_only_once_its_worker_takes_jobs(
    queue: Queue, send: "Send", start: Start, wait_until: Callable[..., None]
) -> None:
    port = free_port()
    process = start(port, worker="worker")
    before: set[tuple[int, bool, str]] = set()

    def is_ready() -> bool:
        try:
            answer = send("GET", f"http://127.0.0.1:{port}/pauseflow/api/health")
        except (ConnectionRefusedError, HTTPTimeoutError):
            return False
        if answer.code == 200:
            assert queue.has_live_worker(), "it was said to be ready, and no worker takes jobs"
            assert loads(answer.body)["ready"] is True
            return True
        health = loads(answer.body)
        before.add((answer.code, health["ready"], health["status"]))
        return False

    wait_until(is_ready, description="its worker takes jobs", seconds=60)

    assert before <= {(503, False, "starting")}
    ready_line(process)


@pytest.mark.thorough
def test_a_worker_that_crashed_makes_it_degraded_until_another_takes_jobs(
    queue: Queue, send: "Send", start: Start, wait_until: Callable[..., None]
) -> None:
    base, _ = ready_line(start(worker="worker"))

    def standing() -> tuple[int, str]:
        answer = send("GET", f"{base}pauseflow/api/health")
        return answer.code, loads(answer.body)["status"]

    assert standing() == (200, "ok")
    with reading(queue.engine) as connection:
        (worker,) = workers.list_alive(connection, "worker")
    os.kill(int(worker.id.split(":")[1]), signal.SIGKILL)

    wait_until(lambda: standing() == (503, "degraded"), description="it says that its worker has ended")
    wait_until(queue.has_starting_worker, description="another one is known to start")
    wait_until(lambda: standing() == (200, "ok"), description="another worker takes jobs", seconds=60)


def test_a_worker_that_is_starting_is_waited_for(queue: Queue) -> None:
    with Presence(queue, "starting") as presence:
        later = threading.Timer(0.3, presence.change_kind, ["worker"])
        later.start()
        require_worker(queue)
        assert queue.has_live_worker()
        later.join()
    with pytest.raises(NoWorker):
        require_worker(queue)
    with Presence(queue, "starting"), pytest.raises(NoWorker):
        require_worker(queue, patience_seconds=0.2)


@pytest.mark.thorough
def test_its_worker_is_alive_when_it_is_ready_and_gone_when_it_was_killed(
    queue: Queue, start: Start, wait_until: Callable[..., None]
) -> None:
    process = start(worker="worker")
    ready_line(process)
    assert queue.has_live_worker()

    process.kill()

    wait_until(lambda: not queue.has_live_worker(), description="the worker ends with its server", seconds=30)


@pytest.mark.slow
def test_what_waits_goes_on_after_the_server_was_restarted(
    send: "Send", queue: Queue, start: Start, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    cells = [
        "from pauseflow_nb import flow, steps\nkept = [1, 2]",
        "%%step ask\nflow.suspend()",
        "%%step after\nflow.export('got', [kept, steps.ask.data])",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    (tmp_path / "ask.ipynb").write_text(dumps(notebook))
    first = start(worker="worker")
    base, token = ready_line(first)
    login = {"Authorization": f"token {token}"}
    started = send("POST", f"{base}pauseflow/api/executions", json={"notebook": "ask.ipynb"}, headers=login)
    execution = loads(started.body)["id"]
    wait_until(lambda: queue.state(execution) == "suspended", description="the notebook waits", seconds=40)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=40)

    base, _ = ready_line(start(worker="worker"))
    link = queue.view(execution)["suspended"][0]["resume_url"]
    assert link.startswith(base)
    assert send("POST", link, json="yes").code == 200

    wait_until(lambda: queue.state(execution) == "completed", description="the notebook ends", seconds=40)
    assert queue.view(execution)["steps"]["after"]["exports"]["got"] == [[1, 2], "yes"]
