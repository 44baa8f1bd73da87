"""A secret is used in runs of every kind, and found nowhere afterwards."""

import base64
import html
import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from acceptance.command import Pauseflow
from acceptance.test_operator_secrets import Browser
from acceptance.web import wait_until
from nbformat import v4, write

pytestmark = [pytest.mark.acceptance, pytest.mark.new_process]

VALUE = 's3cr3t/"tåken"+7f3a91c0de55'
FORMS = {
    "plain": VALUE,
    "JSON": json.dumps(VALUE)[1:-1],
    "URL": quote(VALUE, safe=""),
    "HTML": html.escape(VALUE),
    "base64": base64.b64encode(VALUE.encode()).decode().rstrip("="),
    "Basic": base64.b64encode(b"ann:" + VALUE.encode()).decode()[6:-4],
    "hex": VALUE.encode().hex(),
    "a part": "7f3a91c0de55",
}
TOKEN = "a-token-of-the-server"

#: Each notebook is a list of cells; `token` is a parameter, which is a secret.
NOTEBOOKS = {
    "asks": [
        ("from pauseflow_nb import flow, steps\n"
        "import base64, html, json, os, sys, time\nfrom urllib.parse import quote\n"
        'token = flow.secret("API")\n'
        'headers = {"Authorization": f"Bearer {token}"}\nclients = [{"key": token}, (token, 1)]\n'
        'os.environ["SERVICE_TOKEN"] = token\nos.environ["SERVICE_URL"] = f"https://ann:{token}@example.org"\n'
        "assert 'PAUSEFLOW_SECRET_API' not in os.environ"),
        '%%setup\nlogin = base64.b64encode(f"ann:{flow.secret(\'API\')}".encode()).decode()',
        ("%%step shows\n"
        "print(token, [token], repr(token), json.dumps({'a': token}), quote(token, safe=''), html.escape(token))\n"
        "print(login, token.encode().hex(), base64.b64encode(token.encode()))\n"
        "print('half ' + token[:9], end='', flush=True)\ntime.sleep(0.4)\nprint(token[9:])\n"
        "sys.stderr.write('x' * 1_000_000 + token + '\\n')\n"
        "for letter in token: print(letter)\n"
        "!echo $SERVICE_TOKEN $SERVICE_URL\n"
        "from IPython.display import display, HTML\ndisplay(HTML(f'<b>{html.escape(token)}</b>'), metadata={'k': token})\n"
        "made = 'a text of a step: ' + token\n"
        "flow.export('token', token)\nflow.export('login', {login: [made]})\n{'returned': made}"),
        ("%%step asks\n"
        "links = flow.suspend('10m', title=f'Use {token}?', message=made, data={'url': f'https://x/?t={quote(token)}'},\n"
        "    schema={'type': 'integer'})"),
        ("%%step uses\n"
        "assert headers['Authorization'] == f'Bearer {token}' and clients[0]['key'] is clients[1][0]\n"
        "assert type(token).__name__ == 'Secret' and os.environ['SERVICE_TOKEN'] == token and login in login\n"
        "assert hash(token) == hash(str(token)) and token.endswith('e55')\n"
        "print(token, login)\n{'length': len(token)}"),
    ],
    "fails": [
        "import pauseflow_nb\nflow = pauseflow_nb.flow",
        "%%step tries\nimport os\ntoken = flow.secret('API')\nflow.export('before', token)",
        "%%step fails\nkey = flow.secret('A' + 'PI')\nif not os.path.exists('go'):\n    raise ValueError({'the key is': key, 'also': str(key)})",
    ],
    "crashes": [
        "from pauseflow_nb import flow\nimport os, sys, signal\ntoken = flow.secret('API')",
        "%%step first\nprint(token)",
        ("%%step crashes\nprint('now', token, flush=True)\n"
        "if not os.path.exists('crashed'):\n"
        "    open('crashed', 'w').close()\n    os.write(2, str(token).encode())\n    os.kill(os.getpid(), signal.SIGKILL)"),
    ],
    "parent": [
        "from pauseflow_nb import flow, steps\ntoken = flow.secret('API')",
        "%%step runs\nflow.run_notebook('child.ipynb', {'token': token, 'more': {'keys': [token]}})",
        "%%step after\nprint(steps.runs)\nassert steps.runs['child']['works']['length'] == len(token), steps.runs",
    ],
    "child": [
        "token, more = '', {}",
        ("%%step works\nfrom pauseflow_nb import flow\nassert more['keys'] == [token] and flow.inputs.token == token\n"
        "print(token, flow.inputs)\n{'length': len(token), 'token': token}"),
    ],
}  # fmt: skip


def found_in(where: str, text: str) -> list[str]:
    return [f"{name} in {where}" for name, form in FORMS.items() if form in text]


def left_in(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    wide = VALUE.encode("utf-32-le")
    found = [f"UTF-32 in {path}" for path in files if wide in path.read_bytes()]
    return found + [line for path in files for line in found_in(str(path), path.read_bytes().decode(errors="replace"))]


def left_in_database(url: str) -> list[str]:
    engine = sa.create_engine(url)
    found = []
    with engine.connect() as connection:
        for schema in sa.inspect(connection).get_schema_names():
            for table in [] if schema == "information_schema" else sa.inspect(connection).get_table_names(schema):
                for row in connection.execute(sa.text(f'SELECT * FROM "{schema}"."{table}"')):
                    found += found_in(
                        f"table {table}", f"{tuple(row)} {[json.dumps(each, default=str) for each in row]}"
                    )
    engine.dispose()
    return found


@pytest.fixture(
    params=["cold", pytest.param("prestarted", marks=pytest.mark.slow), pytest.param("forked", marks=pytest.mark.slow)]
)
def server(request: pytest.FixtureRequest, pauseflow: Pauseflow) -> tuple[Pauseflow, Browser, Any]:
    """A server whose worker has the secret; with forked kernels the database is PostgreSQL."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for name, sources in NOTEBOOKS.items():
        cells = [v4.new_code_cell(source) for source in sources]
        cells[0].metadata["tags"] = ["parameters"]
        write(v4.new_notebook(cells=cells, metadata=metadata), pauseflow.folder / f"{name}.ipynb")
    pauseflow.environment |= {
        "PAUSEFLOW_KERNELS": request.param,
        "PAUSEFLOW_SECRET_API": VALUE,
        "JUPYTER_TOKEN": TOKEN,
    }
    if request.param == "forked":
        pauseflow.environment["PAUSEFLOW_DB"] = request.getfixturevalue("postgresql_url")
    process = pauseflow.start_process("-m", "pauseflow_nb", "serve", "--json")
    wait_until(lambda: process._stdout and "".join(process._stdout).count("}"), "the server is ready")
    browser = Browser(json.loads("".join(process._stdout))["url"])
    return pauseflow, browser, process


@pytest.mark.thorough
def test_no_secret_is_left_behind(server: tuple[Pauseflow, Browser, Any]) -> None:
    pauseflow, plain, process = server
    folder = pauseflow.folder

    def browser(method: str, path: str, body: Any = None) -> Any:
        return plain(method, path, body, token=TOKEN)

    def start(name: str, **parameters: Any) -> str:
        body = {"notebook": f"{name}.ipynb", "output": f"{name}-out.ipynb", "parameters": parameters}
        status, started = browser("POST", "pauseflow/api/executions", body)
        assert status < 300, started
        return str(started["id"])

    def state(id_: str) -> Any:
        return browser("GET", f"pauseflow/api/executions/{id_}")[1]

    def ended(id_: str) -> Any:
        return wait_until(
            lambda: (found := state(id_))["state"] in {"completed", "failed"} and found, f"{id_} ends\n{process.stderr}"
        )

    asks, fails, crashes, parent = start("asks"), start("fails"), start("crashes"), start("parent")
    waits = wait_until(lambda: state(asks)["suspended"], f"it waits: {state(asks)}\n{process.stderr}")[0]
    pages = [
        browser("POST", waits["resume_url"], {"no": "integer"})[0],
        browser("GET", waits["approval_url"])[0],
    ]
    _, forked = browser("POST", f"pauseflow/api/executions/{asks}/fork", {"from": "asks"})
    answered = browser("POST", waits["resume_url"], 5)[0]
    first = {
        name: ended(id_) for name, id_ in {"asks": asks, "fails": fails, "crashes": crashes, "parent": parent}.items()
    }
    (folder / "go").touch()
    retried = browser("POST", f"pauseflow/api/executions/{fails}/retry", {})[0]
    again = ended(fails)
    child = start("child", token="secret:API", more={"keys": ["secret:API"]})
    last = ended(child)
    for id_ in (asks, fails, crashes, parent, child):
        for part in ("events", "outputs"):
            browser("GET", f"pauseflow/api/executions/{id_}/{part}")
    ended_runs = [
        pauseflow(*words)
        for words in (["doctor"], ["show", asks, "--history"], ["show", asks, "--state"], ["outputs", asks])
    ]
    database = pauseflow.environment.get("PAUSEFLOW_DB") or f"sqlite:///{folder / 'store' / 'pauseflow.db'}"
    left = left_in_database(database) + left_in(folder)
    os.killpg(process.process.pid, signal.SIGTERM)
    over = process.end()

    assert (pages, answered, retried < 300) == ([422, 200], 200, True)
    assert {name: view["state"] for name, view in first.items()} == {
        "asks": "completed",
        "fails": "failed",
        "crashes": "completed",
        "parent": "completed",
    }, (first, over.stderr)
    assert again["state"] == "completed", again["error"]
    assert last["state"] == "completed", last["error"]
    assert "id" in forked, forked
    assert first["asks"]["steps"]["uses"]["exports"]["$return_value"] == {"length": len(VALUE)}
    assert "••••" in first["fails"]["error"]["message"]
    assert last["parameters"] == {"token": "secret:API", "more": {"keys": ["secret:API"]}}
    assert "••••" in (folder / "asks-out.ipynb").read_text()
    left += [line for text in plain.heard for line in found_in(f"HTTP: {text[:2000]}", text)]
    left += [line for one in (*ended_runs, over) for line in found_in("terminal", one.stdout + one.stderr)]
    assert left + left_in(folder) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("cell", "flags", "name"),
    [
        ("%%step a\nflow.secret('NOWHERE')", [], "NOWHERE (cell 3 uses it)"),
        ("1", ["-y", "token: {a: [secret:NOWHERE]}"], "NOWHERE"),
    ],
)
def test_a_missing_secret_is_reported_before_any_cell_runs(
    pauseflow: Pauseflow, cell: str, flags: list[str], name: str
) -> None:
    sources = ["token = ''", "from pauseflow_nb import flow\nopen('ran', 'w').close()", cell]
    cells = [v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    write(v4.new_notebook(cells=cells), pauseflow.folder / "missing.ipynb")
    output = pauseflow.folder / "out.ipynb"
    command: list[str | Path] = ["run", pauseflow.folder / "missing.ipynb", output, *flags, "--json"]
    missing = pauseflow(*command)
    has_run = (pauseflow.folder / "ran").exists()
    pauseflow.environment["PAUSEFLOW_SECRET_NOWHERE"] = VALUE
    found = pauseflow(*command)

    assert missing.execution["state"] == "failed"
    assert f"secret {name}" in missing.execution["error"]["message"]
    assert "PAUSEFLOW_SECRET_NOWHERE" in missing.execution["error"]["message"]
    assert not has_run
    assert found.execution["state"] == "completed", found.execution["error"]
