"""An execution is one trace, whatever processes ran its parts; a collector on loopback takes it."""

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from acceptance.web import wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from acceptance.command import Ended, Pauseflow

# What a forked command inherits may have decided already whether traces are sent.
pytestmark = [pytest.mark.acceptance, pytest.mark.new_process]


@dataclass
class Collector:
    """Takes spans as OTLP over HTTP."""

    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    url: str = ""

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def named(self, name: str) -> Any:
        (span,) = (each for each in self.spans if each.name == name)
        return span


@pytest.fixture
def collector() -> Iterator[Collector]:
    taken = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    taken.url = f"http://127.0.0.1:{server.server_port}"
    yield taken
    server.shutdown()
    thread.join()
    server.server_close()


def run(pauseflow: "Pauseflow", *cells: str) -> "Ended":
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(notebook, pauseflow.folder / "in.ipynb")
    return pauseflow("run", pauseflow.folder / "in.ipynb", "out.ipynb", "--until-pause", "--json")


def test_an_execution_that_paused_is_one_trace_over_its_processes(pauseflow: "Pauseflow", collector: Collector) -> None:
    pauseflow.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    suspended = run(
        pauseflow,
        "from pauseflow_nb import flow",
        "%%step ask\nflow.suspend(data={'secret': 'xyzzy'})",
        "%%step use\n1",
    )
    assert collector.spans == []

    assert pauseflow("resume", suspended.execution["id"], "--wait").code == 0

    wait_until(lambda: len(collector.spans) == 6, "six spans arrived")
    root, wait = collector.named("in.ipynb"), collector.named("wait ask")
    first, second = collector.named("segment 0"), collector.named("segment 1")
    assert collector.services == {"pauseflow"}
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    assert (root.parent_span_id, first.parent_span_id, wait.parent_span_id) == (b"", root.span_id, root.span_id)
    assert collector.named("ask").parent_span_id == first.span_id
    assert collector.named("use").parent_span_id == second.span_id
    assert first.end_time_unix_nano <= wait.end_time_unix_nano <= second.start_time_unix_nano
    assert "xyzzy" not in str(collector.spans)


def test_a_failed_step_is_an_error_of_its_segment_and_execution(pauseflow: "Pauseflow", collector: Collector) -> None:
    pauseflow.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url

    run(pauseflow, "%%step break_it\n1 / 0")

    wait_until(lambda: len(collector.spans) == 3, "three spans arrived")
    assert {span.status.code for span in collector.spans} == {2}


@pytest.mark.thorough
def test_a_collector_that_is_not_there_harms_nothing(pauseflow: "Pauseflow") -> None:
    pauseflow.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_EXPORT_TIMEOUT": "1000",
    }

    ended = run(pauseflow, "%%step one\n1")

    assert (ended.code, ended.execution["state"]) == (0, "completed")
