"""Targets behind HTTP: the links before a real store, and the page that they show."""

import http.client
import json
import logging
import random
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fuzz.parsers import bodies, content_types, require_storable
from fuzz.target import Check, Target
from fuzz.values import header_names, header_values, json_texts, json_values, names, schemas, text_damaged, texts
from hypothesis import strategies as st
from server.conftest import BROWSER, Stage

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.forms import schema as our_schemas
from pauseflow_nb.links import ACTIONS, Claim
from pauseflow_nb.protocol import Wake
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.server.public.receiving import METHODS
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.tables import metadata

__all__ = ["TARGETS", "Answered", "Log", "request_bytes", "requests", "send"]

#: Seconds without a byte of the answer: far more than any answer takes on a busy machine.
_PATIENCE_SECONDS = 60
#: What only adds lines, or only tells who is alive.
_NOT_COMPARED = {"audit", "workers", "keys"}

#: The questions that wait, and how each answers.
_ASKS: dict[str, dict[str, Any]] = {
    "plain": {"title": "Approve?", "data": {"a": 1}},
    "form": {
        "schema": {
            "type": "object",
            "properties": {
                "approved": {"type": "boolean"}, "amount": {"type": "number"}, "count": {"type": "integer", "minimum": 1},
                "note": {"type": "string", "maxLength": 500}, "when": {"type": "string", "format": "date-time"},
                "tags": {"type": "array", "items": {"type": "string"}}, "any": {},
                "rows": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "number"}}}},
            },
            "required": [],
        }
    },
    "value": {"schema": {"type": "object", "properties": {"value": {"type": "array", "items": {"type": "integer"}}}, "required": ["value"]}},
    "several": {"approvals": 2, "self_approval": False},
    "pattern": {"schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "^([a-z]+)+$"}}, "required": ["a"]}},
    "rerun": {"kind": "rerun", "then": "rerun", "context": {"n": 1}, "seconds": 3600.0},
    "early": {},
}  # fmt: skip

_METHODS = (
    "GET",
    "HEAD",
    "POST",
    "POST",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "BREW",
    "",
)

#: Where the server waits for more than is sent.
_UNFINISHED = ("short", "broken chunk")
#: No address may hold these.
_CONTROL = re.compile(rb"[\x00-\x20\x7f]")

#: One request: everything of it but the host and the token, which exist only when it is sent.
_heads = st.lists(st.tuples(header_names, header_values), max_size=4)
_queries = st.one_of(
    st.just(b""),
    st.sampled_from(
        [
            b"?decision=resume",
            b"?decision=cancel&a=1",
            b"?approved=true",
            b"?value=1&value=2",
            b"?amount=1e999",
            b"?tags=",
            b"?%FF=%00",
            b"?=&&",
        ]
    ),
    texts.map(lambda text: b"?" + text.encode("utf-8", "replace")),
)
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_fields = st.fixed_dictionaries(
    {},
    optional={
        "decision": st.sampled_from(["resume", "cancel", "maybe"]), "data": json_values, "approved": st.booleans(), "amount": st.floats(),
        "value": st.lists(st.integers(), max_size=3), "a": texts, "rows": json_values, "pauseflow_page": st.just("1"), "comment": texts,
    },
)  # fmt: skip
_NAMES = (
    "pauseflow_page", "decision", "data", "comment", "answer/approved", "answer/amount", "answer/rows/0/a", "answer/rows/9/n", "answer/tags",
    "answer/rows/" + "9" * 5000 + "/a", "answer/any", "answer/value", "tags", "amount", "rows", "any", "value", "when", "note",
)  # fmt: skip
_VALUES = ("1", "resume", "cancel", "1e999", "[1e999]", "", "true", "[[" * 600, "9" * 5000)
_pairs = st.lists(st.tuples(st.sampled_from(_NAMES), st.one_of(st.sampled_from(_VALUES), texts)), max_size=6)
_BODIES = (
    b"", b"true", b'"yes"', b'{"decision": "resume"}', b'{"value": [1]}', b'{"x": 1e999}', b'{"value": [1e400]}', b'{"data": -1e999}',
    b"[" * 600 + b"]" * 600, b'{"amount": 1e999}', b'{"a": "' + b"a" * 32 + b'!"}', b'{"a": "\\u0000"}', b'{"x": "\\ud800"}', b"9" * 5000,
    b"\xef\xbb\xbf{}", b"a" * (1024 * 1024 + 1),
)  # fmt: skip
#: Content-Type and body; mostly such that they belong together.
_answers = st.one_of(
    st.tuples(st.just(_JSON), _fields.map(lambda value: json.dumps(value).encode())),
    st.tuples(st.just(_JSON), json_texts.map(lambda text: text.encode("utf-8", "replace"))),
    st.tuples(
        st.just(_FORM), _pairs.map(lambda pairs: "&".join(f"{name}={_quoted(value)}" for name, value in pairs).encode())
    ),
    st.tuples(
        st.just(_FORM),
        _pairs.map(lambda pairs: "&".join(["pauseflow_page=1", *(f"{n}={_quoted(v)}" for n, v in pairs)]).encode()),
    ),
    st.tuples(content_types, bodies),
    st.tuples(st.just(_JSON), st.sampled_from(_BODIES)),
)


def _quoted(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text.encode("utf-8", "replace"))


requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(_METHODS),
        "query": _queries,
        "headers": _heads,
        "answer": _answers,
        "framing": st.sampled_from(["length"] * 8 + ["chunked", "short", "long", "none", "negative", "broken chunk"]),
    }
)

_link_inputs = st.fixed_dictionaries(
    {
        "ask": st.sampled_from(sorted(_ASKS)),
        "action": st.sampled_from(ACTIONS),
        "token": st.one_of(
            st.just(""),
            st.just(""),
            st.just(""),
            st.sampled_from(["x", ".", "%2E", "/", "\0", " ", "~", "A" * 20_000, "/../cancel/x", "?", ";"]),
            texts,
        ),
        "at": st.sampled_from(["end", "end", "start", "middle"]),
        "request": requests,
    }
)


def request_bytes(target: bytes, request: dict[str, Any], host: str) -> bytes:
    """Write a request as a client sends it; odd bytes and lengths included."""
    kind: str | None
    body: bytes
    kind, body = request["answer"]
    lines = [request["method"].encode() + b" " + target + b" HTTP/1.1", b"Connection: close"]
    given = {name.lower() for name, _ in request["headers"]}
    if "host" not in given:
        lines.append(f"Host: {host}".encode())
    if kind is not None and "content-type" not in given:
        lines.append(b"Content-Type: " + _one_line(kind))
    lines += [name.encode() + b": " + _one_line(value) for name, value in request["headers"]]
    length = {"length": len(body), "short": len(body) + 50, "long": len(body) // 2, "negative": -1}.get(
        request["framing"]
    )
    if length is not None:
        lines.append(f"Content-Length: {length}".encode())
    if request["framing"] in ("chunked", "broken chunk"):
        lines.append(b"Transfer-Encoding: chunked")
        size = b"%x" % len(body) if request["framing"] == "chunked" else b"-5"
        body = (size + b"\r\n" + body + b"\r\n" if body or size == b"-5" else b"") + b"0\r\n\r\n"
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _one_line(value: str) -> bytes:
    return " ".join(value.split()).replace("\0", "").encode("utf-8", "replace")[:30_000]


class Answered:
    """The answer to one request; `status` is 0 if the connection was closed without one."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


def send(host: str, port: int, data: bytes, method: str, *, hang_up: bool = False) -> Answered:
    """Send bytes and read the answer.

    Args:
        host: Of the server.
        port: Of the server.
        data: The request.
        method: Its method: what an answer looks like depends on it.
        hang_up: Send no more afterwards, although the server waits for more.

    Raises:
        TimeoutError: If there is none: something hangs.
    """
    # An address of its own each time, or the limit on requests of one address would answer most of them.
    own = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    with socket.socket() as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        connection.bind((own, 0))
        connection.connect((host, port))
        try:
            connection.sendall(data)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        except (ConnectionError, OSError) as problem:
            if isinstance(problem, TimeoutError):
                raise
        try:
            answer = http.client.HTTPResponse(connection, method=method.upper() or "GET")
            answer.begin()
            return Answered(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (ConnectionError, http.client.HTTPException):
            return Answered(0, {}, b"")


class Log(logging.Handler):
    """Everything that is logged while an input is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    def take(self) -> str:
        """Give the text of what was logged since the last time, tracebacks included."""
        taken, self.records = self.records, []
        format_ = logging.Formatter("%(levelname)s %(name)s %(message)s")
        return "\n".join(format_.format(record) for record in taken)


class _Links:
    """A store with one open question of each kind, and the listener before it."""

    def __init__(self, folder: Path) -> None:
        self.queue = Queue.open(
            Settings.load(flags={"data_dir": folder / "data", "max_body": 2 * 1024 * 1024}, environment={})
        )
        self._stage = Stage(self.queue)
        self._listener = Listener(self.queue, 0)
        self.host, port = self._listener.start().removeprefix("http://").split(":")
        self.port = int(port)
        self._open: dict[str, str] = {}
        for ask in _ASKS:
            self.question(ask)
        self._version = -1
        self._watcher = sqlite3.connect(folder / "data" / "pauseflow.db")
        self.rows_before = self.rows()
        self.log = Log()
        logging.getLogger().addHandler(self.log)

    def close(self) -> None:
        logging.getLogger().removeHandler(self.log)
        self._listener.stop()
        self._watcher.close()
        self.queue.close()

    def question(self, ask: str) -> str:
        """Give the execution that waits with this question, a new one if it was answered."""
        if ask not in self._open:
            self._open[ask] = self._stage.begun() if ask == "early" else self._stage.suspended(**_ASKS[ask])
        return self._open[ask]

    def token(self, ask: str, action: str) -> str:
        return self.queue.signer.token(Claim(self.question(ask), 0, "approve", 0, action))

    def rows(self) -> dict[str, dict[str, list[Any]]]:
        """All rows of all tables, by execution."""
        found: dict[str, dict[str, list[Any]]] = {}
        with reading(self.queue.engine) as connection:
            for table in metadata.sorted_tables:
                if table.name not in _NOT_COMPARED:
                    key = "id" if table.name == "executions" else "execution"
                    for row in connection.execute(sa.select(table)).mappings():
                        found.setdefault(row[key], {}).setdefault(table.name, []).append(dict(row))
        return found

    def has_changed(self) -> bool:
        """Whether anybody else has written to the database since the last time: far cheaper than comparing."""
        before, self._version = self._version, int(self._watcher.execute("PRAGMA data_version").fetchone()[0])
        return before != self._version

    def forget(self, ask: str) -> None:
        """Remove an execution that has been answered, so that comparing stays cheap."""
        execution = self._open.pop(ask)
        with transaction(self.queue.engine) as connection:
            connection.execute(
                sa.delete(metadata.tables["executions"]).where(metadata.tables["executions"].c.id == execution)
            )
        self.queue.files.remove(execution)
        self.question(ask)


def _target(given: dict[str, Any], token: str) -> bytes:
    odd = given["token"]
    place = {"end": len(token), "start": 0, "middle": len(token) // 2}[given["at"]]
    altered = token[:place] + odd + token[place:]
    return f"/pauseflow/{given['action']}/{altered}".encode("utf-8", "replace").translate(
        None, b" \r\n\t"
    ) + _line_safe(given["request"]["query"])


def _line_safe(query: bytes) -> bytes:
    return query.translate(None, b" \r\n\t")


def _check_link(links: _Links, given: dict[str, Any]) -> None:
    ask, request = given["ask"], given["request"]
    execution, token = links.question(ask), links.token(ask, given["action"])
    target = _target(given, token)
    data = request_bytes(target, request, f"{links.host}:{links.port}")
    answered = send(links.host, links.port, data, request["method"], hang_up=request["framing"] in _UNFINISHED)
    if request["framing"] in _UNFINISHED:
        # What the server makes of a sender who is gone comes before its answer to this.
        send(
            links.host, links.port, b"GET /pauseflow/api/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET"
        )
    logged = links.log.take()
    after = links.rows() if links.has_changed() else links.rows_before
    changed = {each for each in {*after, *links.rows_before} if after.get(each) != links.rows_before.get(each)}
    try:
        _judge(links, given, answered, changed, execution, token)
        assert token not in logged, "the token was logged"
        assert "ERROR" not in logged, logged
    finally:
        if changed:
            links.forget(ask)
            links.rows_before = links.rows()


def _judge(
    links: _Links, given: dict[str, Any], answered: Answered, changed: set[str], execution: str, token: str
) -> None:
    request = given["request"]
    assert answered.status < 500, f"{answered.status}: {answered.body[:300]!r}"
    assert changed <= {execution}, "another execution was changed"
    if answered.status == 0:
        # Only what is no HTTP request is left without an answer: tornado closes the connection while its sender still sends.
        is_whole = request["framing"] == "length" and request["method"] in METHODS and not request["headers"]
        assert not is_whole or _CONTROL.search(_target(given, token)), "no answer"
    if answered.status not in (200, 202, 303, 0):
        assert not changed, f"answered {answered.status}, and a row has changed"
    if answered.status == 429:
        assert answered.headers.get("retry-after")
    if changed:
        assert given["token"].strip() == "" or "?" in given["token"] or given["token"] == "\0", "an altered token acted"
        assert request["method"] not in ("HEAD", "OPTIONS")
        _require_alive(links, execution, token)


def _require_alive(links: _Links, execution: str, token: str) -> None:
    """Whatever was accepted: the execution, the list and the next segment can be read and written."""
    view = links.queue.view(execution, history=True)
    require_storable(view)
    require_storable(links.queue.list(limit=1000))
    require_storable(links.queue.audit(execution))
    assert view["state"] in ("queued", "cancelled", "suspended", "running", "waiting"), view["state"]
    assert token not in json.dumps(view["steps"]), "the token stands in $resume_data"
    with reading(links.queue.engine) as connection:
        segments = metadata.tables["segments"]
        wakes = connection.execute(sa.select(segments.c.wake).where(segments.c.execution == execution)).scalars()
        for wake in wakes:
            if wake is not None:
                json.loads(Wake.from_dict(wake).to_json())


@contextmanager
def _links(folder: Path) -> Iterator[Check]:
    links = _Links(folder)
    try:
        yield lambda given: _check_link(links, given)
    finally:
        links.close()


# The page


class _Found(HTMLParser):
    """What a page would run, load or submit."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base", "link", "meta") and not _is_ours(tag, dict(attrs)):
            self.problems.append(f"<{tag} {attrs}>")
        for name, value in attrs:
            if name.startswith("on") or (
                name in ("href", "src", "action", "formaction", "xlink:href") and _is_code(value or "")
            ):
                self.problems.append(f"<{tag} {name}={value!r}>")


def _is_ours(tag: str, attributes: dict[str, str | None]) -> bool:
    return tag == "meta" and set(attributes) <= {"charset", "name", "content"}


def _is_code(address: str) -> bool:
    plain = "".join(address.split()).lower()
    return plain.startswith(("javascript:", "vbscript:", "data:text/html"))


_outputs = st.lists(
    st.fixed_dictionaries(
        {
            "output_type": st.just("display_data"),
            "metadata": st.just({}),
            "data": st.dictionaries(
                st.sampled_from(["text/html", "text/markdown", "text/plain", "image/svg+xml", "image/png", "text/latex", "application/javascript", "application/json", "x/y"]),
                st.one_of(
                    st.sampled_from(
                        ["<svg><script>1</script><a xlink:href='javascript:1'/></svg>", "<img src=x onerror=1>", "<a href='java\nscript:1'>x</a>", "[x](javascript:1)", "<form action=//evil>",
                         "<base href=//evil>", "<style>@import '//evil'</style>", "<math><mtext></form><mglyph><style></math><img src onerror=1>", "$\\href{javascript:1}{x}$"]
                    ),
                    texts,
                ),
                max_size=3,
            ),
        }
    ),
    max_size=2,
)  # fmt: skip

_shown = st.fixed_dictionaries(
    {
        "title": st.one_of(st.none(), texts), "message": st.one_of(st.none(), texts, text_damaged(st.just("**x** [y](https://z) `c`\n\n- <b>"))), "data": json_values,
        "schema": st.one_of(st.none(), schemas), "approvals": st.integers(1, 3), "approvers": st.one_of(st.none(), st.lists(names, max_size=2)),
        "outputs": _outputs, "form": st.dictionaries(names, texts, max_size=3),
    }
)  # fmt: skip


def _check_page(links: _Links, given: dict[str, Any]) -> None:
    import nbformat

    shown = dict(given)
    outputs, form = shown.pop("outputs"), shown.pop("form")
    if shown["schema"] is not None and our_schemas.find_problem(shown["schema"]) is not None:
        shown["schema"] = None
    cell = nbformat.v4.new_code_cell(
        "%%step approve\nflow.suspend()", outputs=[nbformat.from_dict(each) for each in outputs]
    )
    document = json.dumps(nbformat.v4.new_notebook(cells=[cell])).encode()
    stage = Stage(links.queue)
    execution = stage.begun(document=document)
    try:
        stage.suspend(execution, **shown)
        path = f"/{stage.link('approve', execution)}".encode()
        for method, body in (
            ("GET", b""),
            (
                "POST",
                "&".join(
                    ["pauseflow_page=1", *(f"answer/{_quoted(k)}={_quoted(v)}" for k, v in form.items())]
                ).encode(),
            ),
        ):
            request = {"method": method, "headers": [("Accept", BROWSER)], "answer": (_FORM, body), "framing": "length"}
            answered = send(links.host, links.port, request_bytes(path, request, "x"), method)
            logged = links.log.take()
            assert answered.status in (200, 202, 303, 400, 403, 405, 410, 422), f"{answered.status}: {logged[-1500:]}"
            assert "ERROR" not in logged, logged
            found = _Found()
            found.feed(answered.body.decode())
            assert found.problems == []
    finally:
        with transaction(links.queue.engine) as connection:
            table = metadata.tables["executions"]
            connection.execute(sa.delete(table).where(table.c.id == execution))
        links.queue.files.remove(execution)


@contextmanager
def _pages(folder: Path) -> Iterator[Check]:
    links = _Links(folder)
    try:
        yield lambda given: _check_page(links, given)
    finally:
        links.close()


TARGETS = [
    Target("links", _link_inputs, _links, share=120),
    Target("pages", _shown, _pages, share=12, slice=15),
]
