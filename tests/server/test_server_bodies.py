import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.errors import InvalidBody
from pauseflow_nb.server.bodies import Body, parse_body, parse_pairs
from pauseflow_nb.server.envelope import query_of
from pauseflow_nb.server.sent import sent


@pytest.mark.parametrize(
    ("data", "content_type", "value"),
    [
        (b'{"a": [1, null]}', "application/json", {"a": [1, None]}),
        (b'{"a": 1}', "application/vnd.api+json; charset=utf-8", {"a": 1}),
        (b"\xef\xbb\xbf1", "application/json", 1),
        ('"é"'.encode("utf-16"), "application/json; charset=utf-16", "é"),
        (b"   ", "application/json", None),
        (b"a=1&b=&a=2", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": ""}),
        (b"n=Ren%E9%e2%82%ac", "application/x-www-form-urlencoded", {"n": "Ren\ufffd€"}),
        (b'{"approved": true}', "application/x-www-form-urlencoded", {"approved": True}),
        (b"{broken=1", "application/x-www-form-urlencoded", {"{broken": "1"}),
        ("grüß".encode(), "text/plain", "grüß"),
        ("grüß".encode("latin-1"), "text/plain; charset=latin-1", "grüß"),
        (b"plain", None, "plain"),
        (b"plain", "no/such thing;;;", "plain"),
        (b"a,b\n1,2\n", "text/csv", "a,b\n1,2\n"),
    ],
)
def test_a_body_is_read_as_its_type_says(data: bytes, content_type: str | None, value: Any) -> None:
    assert parse_body(data, content_type).value == value


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"with\0nul"])
def test_bytes_that_are_no_text_become_base64_with_a_marker(data: bytes) -> None:
    body = parse_body(data, "application/octet-stream")

    assert body == Body({"$base64": base64.b64encode(data).decode(), "size": len(data)}, None)


def test_no_body_is_none() -> None:
    assert parse_body(b"", "application/json") == Body(None, "")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b'{"a":', "application/json"),
        (b"NaN", "application/json"),
        (b"\xff", "application/json"),
        (b'"\\ud800"', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"9" * 5000, "application/json"),
        (b"\xff", "text/plain; charset=utf-8"),
        (b"x", "text/plain; charset=klingon"),
        (b"x", "text/plain; charset=hex"),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=abc"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused_with_a_sentence(data: bytes, content_type: str) -> None:
    with pytest.raises(InvalidBody, match="nothing was settled, send it again"):
        parse_body(data, content_type)


def test_a_multipart_form_has_texts_and_files() -> None:
    parts = [
        b'--X\r\nContent-Disposition: form-data; name="who"\r\n\r\nada\r\n',
        b'--X\r\nContent-Disposition: form-data; name="f"; filename="a.bin"\r\nContent-Type: image/png\r\n\r\n\xff\r\n',
        b"--X--\r\n",
    ]

    body = parse_body(b"".join(parts), "multipart/form-data; boundary=X")

    file = {"$base64": "/w==", "size": 1, "filename": "a.bin", "content_type": "image/png"}
    assert body.value == {"who": "ada", "f": file}


@given(st.binary(max_size=200), st.text(max_size=60))
def test_whatever_comes_is_read_or_refused(data: bytes, content_type: str) -> None:
    try:
        body = parse_body(data, content_type)
    except InvalidBody:
        return
    json.dumps([body.value, body.raw], allow_nan=False, ensure_ascii=False).encode()


def test_a_query_that_was_not_escaped_is_utf8() -> None:
    """As `curl "$LINK?who=é"` sends it: tornado hands over each of its bytes as a character."""
    as_sent = "who=\u00e9&escaped=%C3%A9".encode().decode("latin-1")

    assert query_of(as_sent) == {"who": "\u00e9", "escaped": "\u00e9"}


@given(st.text())
def test_every_query_can_be_read(text: str) -> None:
    assert isinstance(parse_pairs(text), dict)


def test_a_link_decides_by_itself_whatever_a_program_sends() -> None:
    body = Body({"decision": "cancel"}, "")

    assert sent("resume", body, {"decision": "cancel"}).action == "resume"
    assert sent("resume", body, {}).body == body


@pytest.mark.parametrize(
    ("value", "query", "data"),
    [
        ({"decision": "resume", "data": {"x": 1}}, {}, {"x": 1}),
        ({"x": 1}, {"decision": "resume"}, {"x": 1}),
        (None, {"decision": "resume"}, None),
    ],
)
def test_an_approve_link_is_told_what_to_do(value: Any, query: dict[str, Any], data: Any) -> None:
    wanted = sent("approve", Body(value, ""), query)

    assert (wanted.action, wanted.body.value) == ("resume", data)


@pytest.mark.parametrize("value", [None, {}, {"decision": "approve"}, {"decision": ["resume"]}, "resume"])
def test_an_approve_link_that_is_not_told_does_nothing(value: Any) -> None:
    with pytest.raises(InvalidBody, match="takes resume or cancel"):
        sent("approve", Body(value, ""), {})


@pytest.mark.parametrize(
    ("typed", "data"),
    [("", None), ("  \n", None), ("looks good", "looks good"), ("0.7", 0.7), ("true", True), ('{"a": 1}', {"a": 1})],
)
def test_what_a_person_types_is_json_or_text(typed: str, data: Any) -> None:
    form = {"pauseflow_page": "1", "decision": "resume", "data": typed}

    assert sent("approve", Body(form, ""), {}).body.value == data


def test_what_begins_like_json_must_be_json() -> None:
    form = {"pauseflow_page": "1", "decision": "resume", "data": '{"a": 1'}

    with pytest.raises(InvalidBody, match="begins like JSON but is not JSON"):
        sent("approve", Body(form, ""), {})


def test_the_page_of_a_resume_link_cannot_cancel() -> None:
    form = {"pauseflow_page": "1", "decision": "cancel", "data": ""}

    with pytest.raises(InvalidBody, match="this link takes resume"):
        sent("resume", Body(form, ""), {})
