"""Cells run by hand in a real ipykernel: what a front end gets, and so what a saved notebook would hold, has no secret."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from .conftest import running_kernel

pytestmark = pytest.mark.timeout(120)
VALUE = 's3cr3t/"tåken"+7f3a91c0de55'
NEVER_FETCHED = "0f-the-environment-only-9d21"
PART = "7f3a91c0de55"


class FrontEnd:
    """Sends cells, and remembers all that comes back."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client

    def run(self, source: str, *, answer: str = "") -> list[dict[str, Any]]:
        """Run a cell; its messages on all channels, in order."""
        heard: list[dict[str, Any]] = []

        def hear(message: dict[str, Any]) -> None:
            heard.append(message)
            if message["msg_type"] == "input_request":
                self.client.input(answer)

        # What the front end itself sends, `execute_input`, has the source that was typed.
        heard.append(
            self.client.execute_interactive(
                source, output_hook=hear, stdin_hook=hear, allow_stdin=True, user_expressions={"k": "key"}, timeout=60
            )
        )
        return heard

    def ask(self, channel: str, kind: str, **content: Any) -> dict[str, Any]:
        """Send a request that runs no cell, and return the reply."""
        message = self.client.session.msg(kind, content)
        getattr(self.client, f"{channel}_channel").send(message)
        while True:
            reply: dict[str, Any] = getattr(self.client, f"get_{channel}_msg")(timeout=60)
            if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                return reply


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    secrets = {"PAUSEFLOW_SECRET_API": VALUE, "PAUSEFLOW_SECRET_OTHER": NEVER_FETCHED}
    with running_kernel(cwd=str(tmp_path_factory.mktemp("hand")), env={**os.environ, **secrets}) as manager:
        yield manager


@pytest.fixture
def front_end(client: BlockingKernelClient) -> FrontEnd:
    front_end = FrontEnd(client)
    front_end.run("from pauseflow_nb import flow, steps\nkey = flow.secret('API')")
    return front_end


def written(messages: Any) -> str:
    """All that messages say, as a saved notebook would have it."""
    return json.dumps(messages, default=str, ensure_ascii=False)


SHOWS = {
    "the last expression": "key",
    "a container": "{'a': [key, (key,)], key: 1}",
    "print": "print(key)",
    "print in two parts": "import time\nprint(key[:16], end='', flush=True)\ntime.sleep(0.3)\nprint(key[16:])",
    "print in JSON": "import json\nprint(json.dumps({'key': key}))",
    "a traceback": "raise ValueError(f'wrong: {key}')",
    "an exception that holds it": "raise KeyError(key)",
    "a rich display": "from IPython.display import HTML\nHTML(f'<b>{key}</b>')",
    "a data frame": "import pandas\npandas.DataFrame({'key': [key]})",
    "an updated display": "h = display('', display_id=True)\nh.update({'key': key})",
    "a widget": "import ipywidgets\nipywidgets.Text(value=str(key))",
    "a log": "import logging\nlogging.error('the key is %s', key)",
    "a warning": "import warnings\nwarnings.warn(key)",
    "a command": "!echo '{key}'",
    "the environment": "import os\nos.environ['TOKEN'] = key\n%env TOKEN",
    "help": "key?",
    "a prompt": "input(f'Use {key}? ')",
    "a new cell": "get_ipython().set_next_input(f'use({str(key)!r})')",
    "the card of a question": "%%step asks\nflow.suspend(title=f'Use {key}?', data={'key': key}, message=key)",
    "bytes": "key.encode()",
    "base64": "import base64\nbase64.b64encode(key.encode())",
    "hex": "key.encode().hex()",
}


@pytest.mark.every(3)
@pytest.mark.parametrize("way", SHOWS)
def test_no_way_to_show_a_secret_by_hand_shows_it(front_end: FrontEnd, way: str) -> None:
    heard = [message for message in front_end.run(SHOWS[way]) if message["msg_type"] != "execute_input"]

    assert "••••" in written(heard)
    assert PART not in written(heard)
    assert "tåken" not in written(heard)


@pytest.mark.parametrize(
    ("channel", "kind", "content"),
    [
        ("shell", "inspect_request", {"code": "key", "cursor_pos": 3, "detail_level": 0}),
        ("shell", "history_request", {"hist_access_type": "tail", "n": 99, "output": True, "raw": True}),
        ("shell", "complete_request", {"code": "keys['", "cursor_pos": 6}),
    ],
)
def test_no_reply_to_a_front_end_shows_a_secret(
    front_end: FrontEnd, channel: str, kind: str, content: dict[str, Any]
) -> None:
    front_end.run("keys = {str(key): 1}\nkey")
    reply = front_end.ask(channel, kind, **content)

    assert reply["content"]["status"] == "ok"
    assert PART not in written(reply)


def test_the_variable_inspector_of_the_debugger_shows_no_secret(front_end: FrontEnd) -> None:
    front_end.run("shown = str(key)")
    reply = front_end.ask("control", "debug_request", type="request", seq=1, command="inspectVariables", arguments={})

    assert "shown" in written(reply)
    assert PART not in written(reply)


def test_a_secret_that_no_cell_has_fetched_is_masked_in_the_environment(front_end: FrontEnd) -> None:
    shown = written(front_end.run("%env PAUSEFLOW_SECRET_OTHER\n")) + written(front_end.run("!env"))

    assert "PAUSEFLOW_SECRET_OTHER" in shown
    assert NEVER_FETCHED not in shown


def test_a_text_that_only_begins_like_a_secret_is_shown_to_its_end(front_end: FrontEnd) -> None:
    heard = front_end.run("import sys\nsys.stdout.write('s3cr3t/')\nsys.stdout.flush()\nNone")

    assert "".join(each["content"]["text"] for each in heard if each["msg_type"] == "stream") == "s3cr3t/"


def test_what_is_no_secret_is_shown_as_it_is(front_end: FrontEnd) -> None:
    (result,) = [each for each in front_end.run("{'a': 1.5, 'text': 's3cr3t'}") if each["msg_type"] == "execute_result"]
    assert result["content"]["data"]["text/plain"] == "{'a': 1.5, 'text': 's3cr3t'}"


def test_a_missing_secret_says_by_hand_where_it_could_be(front_end: FrontEnd) -> None:
    (error,) = [each["content"] for each in front_end.run("flow.secret('NONE')") if each["msg_type"] == "error"]

    assert error["ename"] == "MissingSecret"
    assert "PAUSEFLOW_SECRET_NONE" in error["evalue"]


@pytest.mark.parametrize("name", ["''", "'a b'", "None", "3", "'../x'", "'-x'"])
def test_what_cannot_be_a_name_is_refused(front_end: FrontEnd, name: str) -> None:
    (error,) = [each["content"] for each in front_end.run(f"flow.secret({name})") if each["msg_type"] == "error"]

    assert error["ename"] == "InvalidValue"
    assert "must be a name such as `API_KEY`" in error["evalue"]
