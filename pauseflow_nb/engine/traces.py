"""Send the trace of an execution that has ended to OpenTelemetry: its segments, the steps in them, and its waits.

Everything is read from the store, so one trace covers all the processes that ran a part of it.
"""

import functools
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy as sa

from pauseflow_nb.store import executions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.tables import segments, steps, suspensions

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

#: Variables of OpenTelemetry that name a collector; without them nothing is sent.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

#: Seconds to wait for a collector, unless `OTEL_EXPORTER_OTLP_TIMEOUT` is set.
_TIMEOUT_SECONDS = 2.0

_Attributes: TypeAlias = dict[str, str | int]
#: Identifies the span within its execution.
_Key: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class _Span:
    key: _Key
    parent: _Key | None
    name: str
    #: Times in seconds since 1970.
    started_at: float
    ended_at: float
    attributes: _Attributes = field(default_factory=dict)
    is_error: bool = False


def send_trace(engine: sa.Engine, execution: str) -> None:
    """Send the trace of an execution if it has ended and the environment names a collector; never raise an error.

    Args:
        engine: The database.
        execution: Id of the execution; the id of the trace is made from it.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    exporter = _make_exporter()
    if exporter is None:
        return
    try:
        if spans := [_to_otel(execution, span) for span in _read_spans(engine, execution)]:
            # Not in a thread of OpenTelemetry: the process may be about to end, and its threads with it.
            exporter.export(spans)
    except Exception as problem:  # noqa: BLE001  (what watches an execution must not end it)
        log.warning("no trace of %s was sent: %s", execution, problem, extra={"execution": execution})


@functools.cache
def _make_exporter() -> "SpanExporter | None":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        log.warning("no traces are sent because a package is missing: pip install 'pauseflow-nb[otel]'")
        return None
    return OTLPSpanExporter(timeout=None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else _TIMEOUT_SECONDS)


def _read_spans(engine: sa.Engine, execution: str) -> list[_Span]:
    with reading(engine) as connection:
        row = executions.find(connection, execution)
        # If its notebook must still be finished, the trace is sent after that.
        if row is None or row.state not in FINAL or row.ended_at is None or row.record_due is not None:
            return []

        def read_rows(table: sa.Table, *columns: sa.Column[object]) -> Iterable[Row]:
            return list(connection.execute(sa.select(*columns).where(table.c.execution == execution)))

        ran = read_rows(segments, segments.c.n, segments.c.how, segments.c.attempt, segments.c.worker,
                      segments.c.started_at, segments.c.ended_at)  # fmt: skip
        stepped = read_rows(steps, steps.c.step, steps.c.run, steps.c.segment, steps.c.state, steps.c.attempts,
                          steps.c.started_at, steps.c.ended_at)  # fmt: skip
        waited = read_rows(suspensions, suspensions.c.step, suspensions.c.segment, suspensions.c.ordinal,
                         suspensions.c.kind, suspensions.c.action, suspensions.c.since,
                         suspensions.c.settled_at)  # fmt: skip
    return [
        _make_root_span(row),
        *_make_segment_spans(ran, row.ended_at),
        *_make_step_spans(stepped, row.ended_at),
        *_make_wait_spans(waited, row.ended_at),
    ]


def _make_root_span(row: Row) -> _Span:
    attributes: _Attributes = {
        "pauseflow.execution": row.id,
        "pauseflow.notebook": row.notebook,
        "pauseflow.state": row.state,
    }
    return _Span(
        ("execution",),
        None,
        PurePath(row.notebook).name,
        row.created_at,
        row.ended_at,
        attributes,
        row.state == "failed",
    )


def _make_segment_spans(rows: Iterable[Row], end: float) -> Iterator[_Span]:
    for row in rows:
        if row.started_at is not None:
            attributes: _Attributes = {"pauseflow.segment": row.n, "pauseflow.attempts": row.attempt}
            attributes |= {} if row.worker is None else {"pauseflow.worker": row.worker}
            name, ended = f"segment {row.n}", row.ended_at or end
            yield _Span(
                ("segment", row.n), ("execution",), name, row.started_at, ended, attributes, row.how == "failed"
            )


def _make_step_spans(rows: Iterable[Row], end: float) -> Iterator[_Span]:
    for row in rows:
        attributes: _Attributes = {
            "pauseflow.step": row.step,
            "pauseflow.run": row.run,
            "pauseflow.attempts": row.attempts,
            "pauseflow.state": row.state,
        }
        key, parent = ("step", row.step, row.run), ("segment", row.segment)
        yield _Span(key, parent, row.step, row.started_at, row.ended_at or end, attributes, row.state == "failed")


def _make_wait_spans(rows: Iterable[Row], end: float) -> Iterator[_Span]:
    for row in rows:
        attributes: _Attributes = {"pauseflow.step": row.step, "pauseflow.kind": row.kind}
        attributes |= {} if row.action is None else {"pauseflow.action": row.action}
        key = ("wait", row.segment, row.step, row.ordinal)
        yield _Span(key, ("execution",), f"wait {row.step}", row.since, row.settled_at or end, attributes)


def _to_otel(execution: str, span: _Span) -> "ReadableSpan":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    def context(key: _Key) -> SpanContext:
        trace, own = _derive_id(16, execution), _derive_id(8, execution, *key)
        return SpanContext(trace, own, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    # `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override this name.
    resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "pauseflow"})
    return ReadableSpan(
        name=span.name,
        context=context(span.key),
        parent=None if span.parent is None else context(span.parent),
        resource=resource,
        attributes=span.attributes,
        status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
        start_time=round(span.started_at * 1e9),
        end_time=round(max(span.started_at, span.ended_at) * 1e9),
    )


def _derive_id(size: int, *parts: str | int) -> int:
    """Derive a number of some bytes that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=size).digest(), "big")
