"""`pauseflow trigger`, with a real server and the example notebook that responds to a webhook."""

import hashlib
import hmac
import json
import re
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from acceptance.command import Pauseflow, example
from acceptance.web import wait_until

pytestmark = pytest.mark.acceptance

EXAMPLE = example("respond_to_webhook")


def post(url: str, body: bytes, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urlopen(Request(url, body, {"Content-Type": "application/json", **named}), timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        return refused.code, json.load(refused)


def show(pauseflow: Pauseflow, execution: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pauseflow("show", execution, "--json").stdout)
    return found


def test_a_signed_webhook_is_answered_and_then_a_person_is_asked(pauseflow: Pauseflow) -> None:
    server = pauseflow.start("serve", "--port", "0")
    wait_until(lambda: server._stdout, "the server is ready")
    added = json.loads(pauseflow("trigger", "add", EXAMPLE, "--http", "--wait", "-p", "secret", "s", "--json").stdout)
    body = b'{ "magnitude": 9.1,\n "place": "T\xc5\x8dhoku, Japan" }'
    signature = "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest()

    assert post(added["url"], body, X_Hub_Signature_256=signature) == (202, {"accepted": True})
    last = json.loads(pauseflow("trigger", "show", added["id"], "--json").stdout)["last"]
    waits = wait_until(lambda: show(pauseflow, last["execution"])["suspended"], "it asks")[0]
    assert waits["title"] == "Warn the coast? Magnitude 9.1, Tōhoku, Japan"
    assert f"  started   by HTTP trigger {added['id']}\n" in pauseflow("show", last["execution"]).stdout
    assert f"Started by HTTP trigger {added['id']} of " in urlopen(waits["approval_url"], timeout=60).read().decode()
    post(waits["resume_url"], b"{}")
    wait_until(lambda: show(pauseflow, last["execution"])["state"] == "completed", "it has ended")
    assert show(pauseflow, last["execution"])["steps"]["warn"]["exports"]["warned"] == "Tōhoku, Japan"
    assert post(added["url"], body, X_Hub_Signature_256="sha256=\u00e4") == (401, {"error": "wrong signature"})
    assert added["url"].rpartition("/")[2] not in server.stderr


def test_a_schedule_is_listed_paused_resumed_run_and_removed(pauseflow: Pauseflow) -> None:
    add = partial(pauseflow, "trigger", "add", EXAMPLE, "-p", "secret", "s")
    added = add("--cron", "0  8 * * 1-5", "--tz", "Europe/Berlin", "--overlap", "skip")
    trigger = re.search(r"trigger (\w+): active", added.stdout)

    assert trigger is not None, added.stderr
    assert "no worker is running to start executions for this trigger: run `pauseflow serve`" in added.stderr
    assert "starts      0 8 * * 1-5 (Europe/Berlin)" in added.stdout
    assert re.search(r"next +20\d\d-\d\d-\d\d 0[67]:00:00 UTC", added.stdout)
    listed = pauseflow("trigger", "list").stdout
    assert (trigger[1] in listed, "respond_to_webhook.ipynb" in listed) == (True, True)
    assert f"trigger {trigger[1]}: paused" in pauseflow("trigger", "pause", trigger[1]).stdout
    assert f"trigger {trigger[1]}: active" in pauseflow("trigger", "resume", trigger[1]).stdout
    started = json.loads(pauseflow("trigger", "run", trigger[1], "--json").stdout)
    assert (started["state"], started["parameters"]) == ("queued", {"secret": "s"})
    assert started["trigger"] == {"id": trigger[1], "kind": "schedule"}
    assert f"started {started['id']}" in pauseflow("trigger", "list").stdout
    assert pauseflow("trigger", "remove", trigger[1]).stdout == f"trigger {trigger[1]} was removed\n"
    assert json.loads(pauseflow("trigger", "list", "--json").stdout) == []


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", EXAMPLE], "pass one of --http, --cron, --every and --at"),
        (["add", EXAMPLE, "--http", "--every", "5m"], "pass one of --http, --cron, --every and --at"),
        (["add", EXAMPLE, "--every", "5m", "--wait"], "--wait works only with --http"),
        (["add", EXAMPLE, "--http", "--tz", "UTC"], "--tz works only with --cron and --at"),
        (["add", EXAMPLE, "--http", "--missed", "skip"], "--missed works only with --cron, --every and --at"),
        (["add", EXAMPLE, "--cron", "every day"], "write five fields (minute, hour, day, month, weekday), or six"),
        (["add", EXAMPLE, "--cron", "0 8 * * *", "--tz", "Berlin"], "is not a time zone"),
        (["add", EXAMPLE, "--every", "10"], "every"),
        (["add", EXAMPLE, "--at", "2020-01-01T00:00"], "has passed: give a time in the future"),
        (["add", "nosuch.ipynb", "--http"], "nosuch.ipynb"),
        (["add", EXAMPLE, "--http", "-k", "nosuch"], "nosuch"),
        (["show", "nosuch"], "no trigger 'nosuch' in this store: `pauseflow trigger list` shows its triggers"),
        (["run", "nosuch", "--data", "{"], "--data"),
        (["rotate", "nosuch"], "no trigger"),
        (["start"], "No such command 'start'"),
    ],
)
def test_a_mistake_is_a_sentence_that_says_what_to_write(pauseflow: Pauseflow, words: list[Any], sentence: str) -> None:
    pauseflow.create_store()
    ended = pauseflow("trigger", *words)

    assert (ended.code, sentence in ended.stderr, "Traceback" in ended.stderr) == (2, True, False), ended.stderr
    assert json.loads(pauseflow("trigger", "list", "--json").stdout) == []


def test_the_help_says_what_each_command_does(pauseflow: Pauseflow) -> None:
    text = pauseflow("trigger", "--help").stdout

    assert "..." not in text.partition("Commands:")[2]
    assert len(re.findall(r"^  (add|list|show|pause|resume|rotate|remove|run) ", text, re.MULTILINE)) == 8
