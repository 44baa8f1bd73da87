"""The REST API at a real Jupyter server, on a real store."""

import asyncio
import time
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
import sqlalchemy as sa
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPResponse

from pauseflow_nb.server.api.api_handler import LARGEST_BODY
from pauseflow_nb.server.api.handlers import ROUTES
from pauseflow_nb.store.database import transaction

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch

API = "pauseflow/api/executions"


def body(response: HTTPResponse) -> Any:
    return loads(response.body)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (path, method)
        for path, handler in ROUTES.items()
        for method in handler.SUPPORTED_METHODS
        if not path.endswith("/health")
    ],
)
def test_no_endpoint_is_unguarded(stranger: "Fetch", stage: "Stage", path: str, method: str) -> None:
    execution = stage.suspended()

    answer = stranger(path.replace("{execution}", execution).replace("{trigger}", "t").lstrip("/"), method=method)

    assert answer.code == 403
    assert stage.queue.state(execution) == "suspended"


def test_a_request_without_a_token_is_told_how_to_send_one(stranger: "Fetch") -> None:
    # A program with a wrong token is not asked for a cookie first.
    wrong = {"Authorization": "token wrong"}
    for options in ({}, {"method": "POST", "headers": wrong, "body": "{}"}):
        answer = stranger("pauseflow/api/executions", **options)
        assert "send the header `Authorization: token TOKEN`" in body(answer)["error"]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_other_method_reads_or_changes_anything(stranger: "Fetch", stage: "Stage", method: str) -> None:
    execution = stage.suspended()

    for path, handler in ROUTES.items():
        if method in handler.SUPPORTED_METHODS and not path.endswith("/health"):
            continue
        answer = stranger(path.replace("{execution}", execution).replace("{trigger}", "t").lstrip("/"), method=method)
        # 503 while its worker starts.
        assert answer.code in ({200, 503} if path.endswith("/health") and method == "HEAD" else {405})
    assert stage.queue.state(execution) == "suspended"


def test_a_body_that_is_too_large_is_refused_with_the_limit_and_settles_nothing(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()

    answer = fetch(f"{API}/{execution}/resume", method="POST", body="x" * (LARGEST_BODY + 1))

    assert answer.code == 413
    assert str(LARGEST_BODY) in body(answer)["error"]
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.usefixtures("http_server_client")
def test_a_stranger_is_refused_before_the_body_has_come(
    jp_base_url: str, jp_http_port: int, jp_asyncio_loop: asyncio.AbstractEventLoop, stage: "Stage"
) -> None:
    async def ask() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
        # Anybody can make up a cookie and a header that agree.
        path = f"{jp_base_url}{API}/{stage.suspended()}/resume"
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            "Cookie: _xsrf=x",
            "X-XSRFToken: x",
            "Content-Length: 1000",
        ]
        writer.write("\r\n".join([*lines, "", "{"]).encode())
        status = await reader.readline()
        writer.close()
        return status.decode()

    assert jp_asyncio_loop.run_until_complete(asyncio.wait_for(ask(), 60)) == "HTTP/1.1 403 Forbidden\r\n"


def test_a_body_of_the_largest_size_is_taken(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()
    text = "x" * (LARGEST_BODY - len('{"else": ""}'))

    answer = fetch(f"{API}/{execution}/resume", json={"else": text})

    assert answer.code == 400
    assert "else" in body(answer)["error"]


def test_health_needs_no_login(stranger: "Fetch") -> None:
    # The server has begun a moment ago: its loop has to run for it to be registered.
    deadline = time.monotonic() + 20
    while (answer := stranger("pauseflow/api/health")).code == 503 and time.monotonic() < deadline:
        assert (body(answer)["ready"], answer.headers["Retry-After"]) == (False, "1")

    assert (answer.code, body(answer)) == (200, {"status": "ok", "ready": True, "worker": False})


def test_the_list_is_filtered_and_paged(fetch: "Fetch", stage: "Stage") -> None:
    first, second, third = (stage.suspended() for _ in range(3))
    stage.queue.cancel(second, by="user:ada")

    page = body(fetch(API, params={"limit": "2"}))
    rest = body(fetch(API, params={"limit": "2", "offset": str(page["next_offset"])}))
    cancelled = body(fetch(API, params={"state": "cancelled,failed"}))
    nothing = body(fetch(API, params={"q": "no such notebook"}))

    listed = [view["id"] for found in (page, rest) for view in found["executions"]]
    assert sorted(listed) == sorted([first, second, third])
    assert rest["next_offset"] is None
    after = body(fetch(API, params={"after": page["executions"][-1]["id"]}))
    assert [view["id"] for view in after["executions"]] == [view["id"] for view in rest["executions"]]
    assert fetch(API, params={"after": "0" * 12}).code == 404
    assert [view["id"] for view in cancelled["executions"]] == [second]
    assert nothing["executions"] == []


@pytest.mark.parametrize("query", [{"limit": "-1"}, {"limit": "many"}, {"offset": "9" * 30}])
def test_a_page_that_cannot_be_is_refused(fetch: "Fetch", query: dict[str, str]) -> None:
    answer = fetch(API, params=query)

    assert answer.code == 400
    assert "must be a whole number" in body(answer)["error"]


def test_an_execution_shows_what_it_waits_for_and_the_links(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended(title="Deploy?")

    answer = fetch(f"{API}/{execution}")

    shown = body(answer)
    assert (shown["id"], shown["state"], shown["suspended"][0]["title"]) == (execution, "suspended", "Deploy?")
    assert "/pauseflow/approve/" in shown["suspended"][0]["approval_url"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_resume_by_name_hands_over_the_data(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()

    answer = fetch(f"{API}/{execution}/resume", json={"step": "approve", "data": {"ok": 1}})

    assert (answer.code, body(answer)["action"]) == (200, "resume")
    resumed = stage.resume_data(execution)
    assert resumed["body"] == {"ok": 1}
    assert resumed["by"].startswith("user:")
    assert resumed["by"] == body(fetch(f"{API}/{execution}/events"))["events"][-1]["by"]


def test_resume_takes_a_path_of_suspended(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()
    path = body(fetch(f"{API}/{execution}"))["suspended"][0]["path"]

    assert fetch(f"{API}/{execution}/resume", json={"step": path}).code == 200


def test_resume_needs_no_body(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()

    assert fetch(f"{API}/{execution}/resume", method="POST", body="").code == 200


def test_suspend_from_outside_is_noted_and_refused_where_it_makes_no_sense(fetch: "Fetch", stage: "Stage") -> None:
    running, waiting = stage.begun(), stage.suspended()

    answer = fetch(f"{API}/{running}/suspend", method="POST", body="")

    assert (answer.code, body(answer)["state"]) == (200, "running")
    assert "to be suspended" in [event["what"] for event in body(fetch(f"{API}/{running}/events"))["events"]]
    refused = fetch(f"{API}/{waiting}/suspend", method="POST", body="")
    assert (refused.code, "it is suspended" in body(refused)["error"]) == (409, True)


def test_retry_and_fork_are_refused_where_they_make_no_sense(fetch: "Fetch", stage: "Stage") -> None:
    waiting, running = stage.suspended(), stage.begun()

    early = fetch(f"{API}/{waiting}/retry", json={"from": "approve"})
    unknown = fetch(f"{API}/{running}/fork", json={"from": "nowhere"})
    outside = fetch(f"{API}/{waiting}/fork", json={"output": "../../out.ipynb"})

    assert (early.code, "has not ended" in body(early)["error"]) == (409, True)
    assert (unknown.code, "no such step" in body(unknown)["error"]) == (400, True)
    assert outside.code == 400


def test_cancel_says_who_and_why(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.begun()

    answer = fetch(f"{API}/{execution}/cancel", json={"text": "wrong data"})

    shown = body(answer)
    assert (answer.code, shown["state"], shown["reason"]["text"]) == (200, "cancelled", "wrong data")


def test_only_what_failed_is_retried(fetch: "Fetch", stage: "Stage") -> None:
    answer = fetch(f"{API}/{stage.suspended()}/retry", json={})

    assert answer.code == 409
    assert "suspended" in body(answer)["error"]


@pytest.mark.parametrize(
    ("path", "sent"),
    [("", None), ("/resume", {}), ("/cancel", {}), ("/retry", {}), ("/outputs", None), ("/events", None)],
)
def test_an_unknown_execution_is_404_with_a_sentence(fetch: "Fetch", path: str, sent: Any) -> None:
    answer = fetch(f"{API}/nosuch{path}", json=sent)

    assert answer.code == 404
    assert "no execution 'nosuch'" in body(answer)["error"]


def test_resume_of_what_does_not_wait_is_a_conflict(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.begun()

    assert fetch(f"{API}/{execution}/resume", json={}).code == 409


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/resume", "{"),
        ("/resume", "[]"),
        ("/resume", b"\xff"),
        ("/resume", '{"stp": "approve"}'),
        ("/resume", '{"step": 1}'),
        ("/resume", '{"step": ["approve", 1]}'),
        ("/cancel", '{"text": 1}'),
        ("", "{}"),
        ("", '{"notebook": 1}'),
        ("", '{"notebook": "a.ipynb", "colour": "red"}'),
        ("", '{"notebook": "a.ipynb", "output": ".bashrc"}'),
        ("", f'{{"notebook": "a.ipynb", "output": "{"a" * 300}.ipynb"}}'),
        ("", f'{{"notebook": "{"a" * 300}.ipynb"}}'),
        ("", '{"notebook": "../outside.ipynb"}'),
        ("", '{"notebook": "nul\\u0000.ipynb"}'),
    ],
)
def test_a_bad_body_is_400_with_a_sentence(fetch: "Fetch", stage: "Stage", path: str, sent: str | bytes) -> None:
    execution = stage.suspended()

    answer = fetch(API + (path and f"/{execution}{path}"), method="POST", body=sent)

    assert answer.code == 400
    assert len(body(answer)["error"]) > 20
    assert stage.queue.state(execution) == "suspended"


def test_outputs_are_the_notebook_without_links(fetch: "Fetch", stage: "Stage") -> None:
    link = stage.link("approve", "0123456789ab")
    stream = nbformat.v4.new_output("stream", text=f"see http://127.0.0.1:7287/{link}")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[stream])])
    execution = stage.begun(document=dumps(notebook).encode())

    answer = fetch(f"{API}/{execution}/outputs")

    assert body(answer)["cells"][0]["outputs"][0]["text"] == "see http://127.0.0.1:7287/pauseflow/approve/***"


class TestStarting:
    @pytest.fixture
    def notebook(self, jp_root_dir: Path) -> Path:
        path = jp_root_dir / "folder" / "report.ipynb"
        path.parent.mkdir()
        cell = nbformat.v4.new_code_cell("alpha = 1", metadata={"tags": ["parameters"]})
        step = nbformat.v4.new_code_cell("%%step only\n1")
        path.write_text(dumps(nbformat.v4.new_notebook(cells=[cell, step])))
        return path

    def test_a_notebook_is_started(self, fetch: "Fetch", stage: "Stage", notebook: Path) -> None:
        sent = {"notebook": "folder/report.ipynb", "output": "folder/out.ipynb", "parameters": {"alpha": 2}}

        answer = fetch(API, json=sent)

        shown = body(answer)
        assert (answer.code, shown["state"], shown["parameters"]) == (201, "queued", {"alpha": 2})
        assert answer.headers["Location"].endswith(f"/{API}/{shown['id']}")
        assert shown["output"] == str(notebook.with_name("out.ipynb"))
        assert shown["created_by"].startswith("user:")

    def test_two_cannot_own_one_output(self, fetch: "Fetch", notebook: Path) -> None:
        sent = {"notebook": "folder/report.ipynb", "output": "folder/out.ipynb"}
        fetch(API, json=sent)

        answer = fetch(API, json=sent)

        assert answer.code == 409
        assert "belongs to execution" in body(answer)["error"]

    def test_an_unknown_execution_or_notebook_is_404(self, fetch: "Fetch") -> None:
        assert fetch(API, json={"notebook": "nosuch.ipynb"}).code == 404

    def test_a_file_that_is_no_notebook_is_400(self, fetch: "Fetch", notebook: Path) -> None:
        notebook.write_text("not a notebook")

        assert fetch(API, json={"notebook": "folder/report.ipynb"}).code == 400

    def test_an_unknown_kernel_is_400(self, fetch: "Fetch", notebook: Path) -> None:
        answer = fetch(API, json={"notebook": "folder/report.ipynb", "kernel": "nosuch"})

        assert answer.code == 400
        assert "nosuch" in body(answer)["error"]

    def test_a_link_out_of_the_root_is_not_followed(
        self, fetch: "Fetch", notebook: Path, jp_root_dir: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside.ipynb"
        notebook.rename(outside)
        (jp_root_dir / "link.ipynb").symlink_to(outside)

        answer = fetch(API, json={"notebook": "link.ipynb"})

        assert answer.code == 400
        assert "leads out" in body(answer)["error"]


class ReadOnly(Authorizer):
    """Lets everybody look."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read"


class TestReaders:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: Any) -> Any:
        jp_server_config.ServerApp.authorizer_class = ReadOnly
        return jp_server_config

    def test_who_may_only_look_sees_no_links(self, fetch: "Fetch", stage: "Stage") -> None:
        execution = stage.begun()
        link = stage.link("resume", execution)
        stage.suspend(execution, "approve", data={"see": f"https://example.org/{link}"})

        views = [body(fetch(f"{API}/{execution}")), body(fetch(API))["executions"][0]]

        for view in views:
            names = ("resume_url", "cancel_url", "approval_url")
            assert [view["suspended"][0][name] for name in names] == [None] * 3
            # Not even one that the notebook has published itself.
            assert view["suspended"][0]["data"] == {"see": "https://example.org/pauseflow/resume/***"}

    @pytest.mark.parametrize("action", ["/resume", "/cancel", "/retry", ""])
    def test_who_may_only_look_changes_nothing(self, fetch: "Fetch", stage: "Stage", action: str) -> None:
        execution = stage.suspended()

        answer = fetch(API + (action and f"/{execution}{action}"), json={})

        assert answer.code == 403
        assert stage.queue.state(execution) == "suspended"


def test_a_row_that_cannot_be_read_is_an_entry_of_its_own(fetch: "Fetch", stage: "Stage") -> None:
    bad, good = stage.suspended(), stage.suspended(title="fine")
    with transaction(stage.queue.engine) as connection:
        damage = {"exports": '{"x": 1e999}', "execution": bad}
        connection.execute(sa.text("UPDATE steps SET exports = :exports WHERE execution = :execution"), damage)

    listed, alone = fetch(API), fetch(f"{API}/{bad}")
    events = fetch(f"{API}/{bad}/events")

    shown = {each["id"]: each for each in loads(listed.body)["executions"]}
    assert (listed.code, alone.code, events.code) == (200, 200, 200)
    assert shown[good]["suspended"][0]["title"] == "fine"
    assert "cannot be shown" in shown[bad]["problem"]
    assert loads(alone.body)["problem"] == shown[bad]["problem"]
    assert fetch(f"{API}/{bad}/cancel", json={}).code == 200
