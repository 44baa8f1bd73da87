"""The operator's secrets are given to the server, used, and found nowhere else afterwards."""

import base64
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
import sqlalchemy as sa
import websocket
from acceptance.command import Pauseflow, Running
from acceptance.web import wait_until
from aiosmtpd.smtp import AuthResult
from nbformat import v4, write
from roads.mail import MailController

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.new_process,
    # apprise and aiosmtpd still use what newer Pythons will not have.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

#: What only the operator knows, and what belongs to the user.
MARKS = {
    name: f"marked-{name}-7f3a91c0de55"
    for name in ("smtp", "notify", "token", "hub", "jpy", "proxy", "gateway", "custom", "provider", "database")
}
USER = "users-own-7f3a91c0de56"

CELLS = {
    "look": (
        "import json, os, pathlib\nfrom pauseflow_nb import flow, steps\n"
        "pathlib.Path('environment.json').write_text(json.dumps(dict(os.environ)))\n"
        "!env\n"
        "print(os.environ['AWS_SECRET_ACCESS_KEY'] is not None)"
    ),
    "ask": (
        "%%step ask\n"
        "links = flow.suspend('10m', title='Go on?', message='Look at it', schema={'type': 'integer'})\n"
        "flow.send.email('Question', to='ann@example.org')\nflow.notify('Question', to='chat')\n"
        "while not pathlib.Path('seen').exists():\n    import time; time.sleep(0.05)"
    ),
    "after": "!env\npathlib.Path('environment-after.json').write_text(json.dumps(dict(os.environ)))",
    "fail": "%%step tell\nflow.notify('x', to='broken')",
}


class Receivers:
    """A mail server that wants a password, and an HTTP server whose address is a secret."""

    def __init__(self) -> None:
        self.logins: list[bytes] = []
        self.mails: list[bytes] = []
        self.paths: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope.content)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append(data.password)
        return AuthResult(success=data.password == MARKS["smtp"].encode())


@contextmanager
def receiving() -> Iterator[tuple[Receivers, int, int]]:
    found = Receivers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.paths.append(self.path)
            self.send_response(500 if "broken" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    chat = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=chat.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options: dict[str, Any] = {"authenticator": found.authenticate, "auth_require_tls": False}
    mail = MailController(found, hostname="127.0.0.1", port=port, **options)
    mail.start()
    try:
        yield found, port, chat.server_port
    finally:
        mail.stop()
        chat.shutdown()
        chat.server_close()
        thread.join()


class Browser:
    """Sends requests to a server and keeps all that it answers."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.heard: list[str] = []

    def __call__(self, method: str, path: str, body: Any = None, *, token: str = MARKS["token"]) -> Any:
        url = path if path.startswith("http") else f"{self.base}{path}"
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json", "Accept": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(url, data, headers, method=method), timeout=30) as answer:
                text, status = answer.read().decode(), answer.status
                self.heard.append(str(answer.headers))
        except HTTPError as refused:
            with refused:
                text, status = refused.read().decode(), refused.code
        self.heard.append(text)
        with suppress(ValueError):
            return status, json.loads(text)
        return status, text

    def listen(self) -> None:
        """Keep the events, too."""
        url = f"{self.base.replace('http', 'ws', 1)}api/events/subscribe"
        line = websocket.create_connection(url, header={"Authorization": f"token {MARKS['token']}"}, timeout=60)

        def hear() -> None:
            with suppress(OSError, websocket.WebSocketException):
                while text := line.recv():
                    self.heard.append(str(text))
            line.close()

        threading.Thread(target=hear, daemon=True).start()


def children_of(pid: int) -> dict[int, str]:
    """Environment and command line of all processes below one, as the operating system shows them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parents[int(entry.name)] = int(re.search(r"\nPPid:\t(\d+)", (entry / "status").read_text())[1])  # type: ignore[index]
    below = {pid}
    while found := {child for child, parent in parents.items() if parent in below} - below:
        below |= found
    shown = {}
    for child in below - {pid}:
        with suppress(OSError):
            shown[child] = "".join(
                Path(f"/proc/{child}/{name}").read_bytes().decode(errors="replace") for name in ("environ", "cmdline")
            )
    return shown


def found_in(where: str, text: str) -> list[str]:
    """Name the marked secrets that a text holds, plain or encoded as texts usually are."""
    return [
        f"{name} in {where}"
        for name, mark in MARKS.items()
        if any(
            form in text for form in (mark, quote(mark, safe=""), base64.b64encode(mark.encode()).decode().rstrip("="))
        )
    ]


def left_in(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [line for path in files for line in found_in(str(path), path.read_bytes().decode(errors="replace"))]


def left_in_database(url: str) -> list[str]:
    engine = sa.create_engine(url)
    found = []
    with engine.connect() as connection:
        for schema in sa.inspect(connection).get_schema_names():
            for table in [] if schema == "information_schema" else sa.inspect(connection).get_table_names(schema):
                rows = connection.execute(sa.text(f'SELECT * FROM "{schema}"."{table}"'))
                found += found_in(f"table {table}", str([tuple(row) for row in rows]))
    engine.dispose()
    return found


@pytest.fixture(params=[*(pytest.param(source, marks=pytest.mark.slow) for source in ("cold", "prestarted")), "forked"])
def operated(request: pytest.FixtureRequest, pauseflow: Pauseflow) -> Iterator[tuple[Pauseflow, Receivers]]:
    """The command with every secret in its environment; with forked kernels the database is PostgreSQL."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for name in ("ask", "fail"):
        cells = [v4.new_code_cell(CELLS[part]) for part in ("look", name, "after")]
        write(v4.new_notebook(cells=cells, metadata=metadata), pauseflow.folder / f"{name}.ipynb")
    with receiving() as (receivers, mail_port, chat_port):
        chat = f"json://127.0.0.1:{chat_port}"
        pauseflow.environment |= {
            "PAUSEFLOW_KERNELS": request.param,
            "PAUSEFLOW_SMTP_HOST": "127.0.0.1",
            "PAUSEFLOW_SMTP_PORT": str(mail_port),
            "PAUSEFLOW_SMTP_SECURITY": "none",
            "PAUSEFLOW_SMTP_USER": "flows",
            "PAUSEFLOW_SMTP_PASSWORD": MARKS["smtp"],
            "PAUSEFLOW_NOTIFY": json.dumps(
                {"chat": f"{chat}/{MARKS['notify']}", "broken": f"{chat}/broken-{MARKS['notify']}"}
            ),
            "PAUSEFLOW_SECRET_API": MARKS["provider"],
            "PAUSEFLOW_ACCESS_TOKEN": MARKS["custom"],
            "JUPYTER_TOKEN": MARKS["token"],
            "JUPYTER_GATEWAY_AUTH_TOKEN": MARKS["gateway"],
            "JUPYTERHUB_API_TOKEN": MARKS["hub"],
            "JPY_API_TOKEN": MARKS["jpy"],
            "CONFIGPROXY_AUTH_TOKEN": MARKS["proxy"],
            "AWS_SECRET_ACCESS_KEY": USER,
        }
        if request.param == "forked":
            url = sa.make_url(request.getfixturevalue("postgresql_url")).set(password=MARKS["database"])
            pauseflow.environment["PAUSEFLOW_DB"] = url.render_as_string(hide_password=False)
        yield pauseflow, receivers


@pytest.mark.thorough
def test_no_secret_of_the_operator_is_left_behind(operated: tuple[Pauseflow, Receivers]) -> None:
    pauseflow, receivers = operated
    folder = pauseflow.folder
    server = pauseflow.start_process("-m", "pauseflow_nb", "serve", "--json")
    base = wait_until(lambda: server._stdout and "".join(server._stdout).count("}"), "the server is ready")
    base = json.loads("".join(server._stdout))["url"]
    browser = Browser(base)
    browser.listen()

    _, started = browser("POST", "pauseflow/api/executions", {"notebook": "ask.ipynb", "output": "out.ipynb"})
    ids = [started["id"]]
    wait_until(lambda: receivers.mails and receivers.paths, f"the messages came\n{server.stderr}")
    processes = children_of(server.process.pid)
    (folder / "seen").touch()
    waits = wait_until(lambda: browser("GET", f"pauseflow/api/executions/{ids[0]}")[1]["suspended"], "it waits")[0]
    pages = [
        browser("POST", waits["resume_url"], {"no": "integer"})[0],
        browser("GET", waits["approval_url"])[0],
        browser("POST", f"{base}pauseflow/resume/forged")[0],
        browser("GET", "pauseflow/api/executions", token="wrong")[0],
        browser("GET", f"files/x?token={MARKS['token']}")[0],
    ]
    # What commands print does not depend on where kernels come from, but on the database: see `operated`.
    words = [["doctor", "--json"], ["doctor"], ["show", ids[0], "--history"], ["list"]]
    has_commands = pauseflow.environment["PAUSEFLOW_KERNELS"] != "prestarted"
    ended_runs = [pauseflow(*each) for each in (words if has_commands else [])]
    assert browser("POST", waits["resume_url"], 5)[0] == 200
    ids.append(browser("POST", "pauseflow/api/executions", {"notebook": "fail.ipynb"})[1]["id"])
    states = [wait_until(partial(state_of, browser, id_), f"{id_} has ended\n{server.stderr}") for id_ in ids]
    for id_ in ids:
        for part in ("events", "outputs"):
            browser("GET", f"pauseflow/api/executions/{id_}/{part}")
    ended_runs.append(pauseflow("show", ids[1], "--json"))
    after = children_of(server.process.pid)
    left = (
        [] if "PAUSEFLOW_DB" not in pauseflow.environment else left_in_database(pauseflow.environment["PAUSEFLOW_DB"])
    )
    running = left_in(folder)
    os.killpg(server.process.pid, signal.SIGTERM)
    ended = server.end()

    assert states == ["completed", "failed"]
    assert pages == [422, 200, 404, 403, 404], ended.stderr
    assert set(receivers.logins) == {MARKS["smtp"].encode()}, "the password was used"
    assert any(MARKS["notify"] in path for path in receivers.paths), "the address was used"
    assert len(processes) > 2, "worker and kernel were looked at"
    for name in ("environment.json", "environment-after.json"):
        seen = json.loads((folder / name).read_text())
        assert seen["AWS_SECRET_ACCESS_KEY"] == USER, "what is the user's own remains"
        assert seen["PAUSEFLOW_DATA_DIR"] == str(folder / "store")
    left += [
        line for pid, shown in {**processes, **after}.items() for line in found_in(f"process {pid}: {shown}", shown)
    ]
    left += [line for text in browser.heard for line in found_in(f"HTTP: {text}", text)]
    left += [line for one in (*ended_runs, ended) for line in found_in("terminal", one.stdout + one.stderr)]
    assert left + running + left_in(folder) == []


def state_of(browser: Browser, execution: str) -> str | None:
    state = str(browser("GET", f"pauseflow/api/executions/{execution}")[1]["state"])
    return state if state in {"completed", "failed"} else None


@pytest.mark.thorough
@pytest.mark.parametrize("given", [True, False], ids=["given", "generated"])
def test_only_a_token_that_the_server_made_is_printed(pauseflow: Pauseflow, given: bool) -> None:
    if given:
        pauseflow.environment["JUPYTER_TOKEN"] = MARKS["token"]
    server: Running = pauseflow.start_process("-m", "pauseflow_nb", "serve", "--port", "0")
    wait_until(lambda: server._stdout, "the server is ready")
    base = re.search(r"http://\S+", server._stdout[0])
    assert base is not None
    with suppress(HTTPError):
        urlopen(f"{base[0]}nothing/here?token={MARKS['token']}", timeout=60)
    listed = pauseflow.start_process("-m", "jupyter_server", "list")
    os.killpg(server.process.pid, signal.SIGTERM)
    ended, list_ = server.end(), listed.end()

    assert found_in("terminal", ended.stdout + ended.stderr + list_.stdout + list_.stderr) == []
    hint = "(sign in as Jupyter is configured)" if given else "(token "
    assert hint in ended.stdout


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAUSEFLOW_NOTIFY", f"slack://{MARKS['notify']}"),
        ("PAUSEFLOW_NOTIFY", json.dumps({"chat": [MARKS["notify"]]})),
        ("PAUSEFLOW_DB", f"postgresql://flows:{MARKS['database']}@127.0.0.1:1/none"),
        ("PAUSEFLOW_DB", f"postgresql://127.0.0.1:1/none?password={MARKS['database']}"),
        ("PAUSEFLOW_DB", f"mysql://flows:{MARKS['database']}@127.0.0.1:1/none"),
        ("PAUSEFLOW_DB", f"postgresql//flows:{MARKS['database']}@127.0.0.1"),
        ("PAUSEFLOW_STORAGE", f"ftp://flows:{MARKS['custom']}@127.0.0.1/files"),
        ("PAUSEFLOW_PUBLIC_URL", f"https://flows:{MARKS['custom']}@example.org"),
    ],
)
@pytest.mark.parametrize("words", [["list", "--json"], ["list"]], ids=["json", "text"])
def test_a_setting_that_cannot_be_used_is_named_without_its_secret(
    pauseflow: Pauseflow, name: str, value: str, words: list[str]
) -> None:
    pauseflow.environment[name] = value
    ended = pauseflow(*words)

    assert ended.code in {1, 2}
    assert ended.stderr
    assert found_in("terminal", ended.stdout + ended.stderr) == []


@pytest.mark.parametrize("line", [f"smtp_pasword = '{MARKS['smtp']}'", f"smtp_password = ['{MARKS['smtp']}']"])
def test_a_file_of_settings_that_cannot_be_used_shows_no_password(pauseflow: Pauseflow, line: str) -> None:
    (pauseflow.folder / "store").mkdir()
    (pauseflow.folder / "store" / "pauseflow.toml").write_text(line)
    ended = pauseflow("doctor")

    assert ended.code == 1
    assert "smtp_pas" in ended.stderr
    assert found_in("terminal", ended.stdout + ended.stderr) == []
