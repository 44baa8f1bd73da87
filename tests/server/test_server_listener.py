import os
import threading
from json import loads
from typing import TYPE_CHECKING

import pytest

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import PortInUse
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.store import workers
from pauseflow_nb.store.workers import process_name

if TYPE_CHECKING:
    from server.conftest import Send, Stage


def test_it_serves_links_and_health_and_nothing_else(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()

    assert send("POST", f"{base}/{stage.link('resume', execution)}").code == 200
    assert loads(send("GET", f"{base}/pauseflow/api/health").body)["status"] == "ok"
    assert send("GET", f"{base}/pauseflow/api/executions").code == 404
    assert send("GET", f"{base}/").code == 404


def test_a_port_that_is_taken_is_an_error_that_says_so(queue: Queue, base: str) -> None:
    port = int(base.rpartition(":")[2])

    with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is taken") as raised:
        Listener(queue, port).start()

    assert raised.value.port == port


def test_the_error_of_a_port_in_use_names_a_program_of_this_store(queue: Queue) -> None:
    process = process_name()
    queue.change(lambda connection: workers.beat(connection, process, "server", "http://127.0.0.1:7999"))
    assert (queue.find_listener(7999), queue.find_listener(7998)) == (("server", str(os.getpid())), ())

    queue.change(lambda connection: workers.beat(connection, process_name(), "attached"))
    assert queue.find_listener(7999) == ("run", str(os.getpid()))


def test_after_it_stopped_its_port_and_thread_are_free(queue: Queue) -> None:
    first = Listener(queue, 0)
    port = int(first.start().rpartition(":")[2])
    first.stop()
    first.stop()

    second = Listener(queue, port)
    second.start()
    second.stop()

    assert "pauseflow-listener" not in {thread.name for thread in threading.enumerate()}
    assert queue.list() == []
