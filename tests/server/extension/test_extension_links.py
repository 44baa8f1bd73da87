"""Links at a Jupyter server, which has opinions of its own about strangers."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pauseflow_nb.engine.queue import Queue

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "notebooks.example.org"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Cookie": "_xsrf=a; username-127-0-0-1=forged"},
    ],
)
def test_strangers_of_any_host_and_origin_may_answer(
    stranger: "Fetch", stage: "Stage", headers: dict[str, str]
) -> None:
    execution = stage.suspended()

    answer = stranger(stage.link("resume", execution), method="POST", headers=headers)

    assert answer.code == 200
    assert stage.queue.state(execution) == "queued"


def test_the_servers_logs_hold_no_tokens(
    stranger: "Fetch", stage: "Stage", caplog: pytest.LogCaptureFixture, jp_logging_stream: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    execution = stage.suspended()
    link = stage.link("resume", execution)
    token = link.rpartition("/")[2]

    for path in (link, f"{link}x", f"{link}/more", f"elsewhere/{link}", f"api/contents/{link}", "nosuch"):
        for method in ("GET", "POST", "TRACE"):
            stranger(path, method=method, headers={"Referer": f"http://127.0.0.1/{link}"})

    assert "elsewhere/pauseflow/resume/***" in caplog.text
    assert token[:20] not in caplog.text + jp_logging_stream.getvalue()


def test_the_server_is_where_links_of_its_store_point(
    stage: "Stage",
    jp_serverapp: Any,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
    wait_until: Callable[..., None],
) -> None:
    def is_registered() -> bool:
        jp_asyncio_loop.run_until_complete(asyncio.sleep(0.01))
        return stage.queue.live_server_url() is not None

    wait_until(is_registered, description="the server registers itself")

    execution = stage.suspended()
    assert stage.queue.view(execution)["suspended"][0]["resume_url"].startswith(
        f"{jp_serverapp.connection_url}pauseflow/resume/"
    )
    jp_asyncio_loop.run_until_complete(jp_serverapp._cleanup())
    assert stage.queue.live_server_url() is None


def test_a_store_that_cannot_be_opened_does_not_stop_jupyter(
    fetch: "Fetch", stranger: "Fetch", queue: Queue, jp_serverapp: Any
) -> None:
    extension = jp_serverapp.extension_manager.extension_points["pauseflow_nb"].app
    broken = extension._queue
    broken.get()  # what opens it in the background has ended then

    def fail() -> Queue:
        from pauseflow_nb.errors import StoreUnavailable

        raise StoreUnavailable("sqlite", "it is locked")

    broken._opener, broken._queue = fail, None

    assert fetch("api/status").code == 200
    answer = fetch("pauseflow/api/executions")
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    assert stranger("pauseflow/resume/x", method="POST").code == 503
