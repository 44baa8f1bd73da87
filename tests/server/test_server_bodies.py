import base64
import encodings
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.errors import InvalidBody, UnknownCharset
from pauseflow_nb.forms.codec import read_form, read_pairs
from pauseflow_nb.server.public.bodies import Body, parse_body, parse_pairs
from pauseflow_nb.server.public.decision import read_request
from pauseflow_nb.server.public.envelope import parse_query


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
        (b"n=Ren%E9", "application/x-www-form-urlencoded; charset=ISO-8859-1", {"n": "René"}),
        (b"[1]", "application/json; charset=utf-8,application/json", [1]),
        (b"[1]", "application/json, Application/JSON", [1]),
        ("grüß".encode(), "text/plain", "grüß"),
        ("grüß".encode("latin-1"), "text/plain; charset=latin-1", "grüß"),
        (b"plain", None, "plain"),
        (b"plain", "no/such thing;;;", "plain"),
        (b"a,b\n1,2\n", "text/csv", "a,b\n1,2\n"),
        (b"\xef\xbb\xbfa=1&b=2", "application/x-www-form-urlencoded", {"a": "1", "b": "2"}),
        (b"\xef\xbb\xbfhello", "text/plain", "hello"),
        ("\ufeffhello".encode("utf-16-le"), "text/plain; charset=utf-16le", "hello"),
        ("привет".encode("koi8-r"), "text/plain; charset=KOI8-R", "привет"),
        ("日本".encode("shift_jis"), 'text/plain; charset="Shift_JIS"', "日本"),
        ("日本".encode("cp932"), "text/plain; charset=windows-31j", "日本"),
        ("中文".encode("gb18030"), "text/plain;charset=gb18030", "中文"),
        ("grüß".encode("cp1252"), "text/plain; charset=windows-1252", "grüß"),
        (b"[" * 100 + b"]" * 100, "application/json", json.loads("[" * 100 + "]" * 100)),
        (b'"' + b"9" * 5000 + b'"', "application/json", "9" * 5000),
        (b'"' + b"," * 500_000 + b'"', "application/json", "," * 500_000),
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
        (b"[1]", "application/json,text/plain"),
        (b"NaN", "application/json"),
        (b"\xff", "application/json"),
        (b'"\\ud800"', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"9" * 5000, "application/json"),
        (b"1e999", "application/json"),
        (b'{"x": [1e400]}', "application/json"),
        (b' {"x": 1e999}\n', "application/x-www-form-urlencoded"),
        (b"[NaN]", "application/x-www-form-urlencoded"),
        (b'{"x": 1,}', "application/x-www-form-urlencoded; charset=utf-8"),
        (b'{"approved": true', "application/x-www-form-urlencoded"),
        (b' ["a", ', "application/x-www-form-urlencoded"),
        (b"[" * 101 + b"]" * 101, "application/x-www-form-urlencoded"),
        (b"-1e999", "application/merge-patch+json"),
        (b"[" * 101 + b"]" * 101, "application/json"),
        (b'{"a":' * 495 + b"1" + b"}" * 495, "application/json"),
        (b"[" + b"0," * 300_000 + b"0]", "application/json"),
        (b"&" * 20_000 + b"a=1", "application/x-www-form-urlencoded"),
        (b"x", "text/plain; charset=punycode"),
        (b"x", "text/plain; charset=utf-7"),
        (b"x", "text/plain; charset=idna"),
        (b"x", "text/plain; charset=unicode_escape"),
        (b"x", "text/plain; charset=" + "x" * 100_000),
        (b"x", "multipart/form-data; boundary=" + "x" * 5000),
        (b"--X\r\n" * 5000 + b"--X--", "multipart/form-data; boundary=X"),
        (b"--X\r\nContent-Disposition\r\n\r\n1\r\n--X--", "multipart/form-data; boundary=X"),
        (b"--X\r\n\xff: 1\r\n\r\n1\r\n--X--", "multipart/form-data; boundary=X"),
        (b"\xff", "text/plain; charset=utf-8"),
        (b"x", "text/plain; charset=klingon"),
        (b"x", "text/plain; charset=hex"),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=abc"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused_with_a_sentence(data: bytes, content_type: str) -> None:
    with pytest.raises(InvalidBody, match="nothing was done, send it again"):
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

    assert parse_query(as_sent) == {"who": "\u00e9", "escaped": "\u00e9"}


@given(st.text())
def test_every_query_can_be_read(text: str) -> None:
    assert isinstance(parse_pairs(text), dict)


def test_a_link_decides_by_itself_whatever_a_program_sends() -> None:
    body = Body({"decision": "cancel"}, "")

    assert read_request("resume", body, {"decision": "cancel"}).action == "resume"
    assert read_request("resume", body, {}).body == body


@pytest.mark.parametrize(
    ("value", "query", "data"),
    [
        ({"decision": "resume", "data": {"x": 1}}, {}, {"x": 1}),
        ({"x": 1}, {"decision": "resume"}, {"x": 1}),
        (None, {"decision": "resume"}, None),
        ({"decision": "approve", "data": {"x": 1}}, {}, {"x": 1}),
        (None, {"decision": "approve"}, None),
    ],
)
def test_an_approve_link_is_told_what_to_do(value: Any, query: dict[str, Any], data: Any) -> None:
    wanted = read_request("approve", Body(value, ""), query)

    assert (wanted.action, wanted.body.value) == ("resume", data)


def test_what_a_sender_decides_wrongly_is_not_repeated_at_length() -> None:
    with pytest.raises(InvalidBody) as caught:
        read_request("approve", Body({"decision": "x" * 100_000}, ""), {})

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [None, {}, {"decision": "yes"}, {"decision": ["resume"]}, "resume"])
def test_an_approve_link_that_is_not_told_does_nothing(value: Any) -> None:
    with pytest.raises(InvalidBody, match="takes resume or cancel, and send_back if the question allows it"):
        read_request("approve", Body(value, ""), {})


@pytest.mark.parametrize(
    ("typed", "data"),
    [
        ("", None),
        ("  \n", None),
        ("looks good", {"comment": "looks good"}),
        ("0.7", 0.7),
        ("true", True),
        ('{"a": 1}', {"a": 1}),
    ],
)
def test_what_a_person_types_as_data_is_json_or_a_comment(typed: str, data: Any) -> None:
    form = {"pauseflow_page": "1", "decision": "resume", "data": typed}

    assert read_request("approve", Body(form, ""), {}).body.value == data


def test_what_begins_like_json_must_be_json() -> None:
    form = {"pauseflow_page": "1", "decision": "resume", "data": '{"a": 1'}

    reading = read_request("approve", Body(form, ""), {}).reading

    assert reading is not None
    assert [error["message"][:14] for error in reading.problems] == ["cannot be read"]


def test_the_page_of_a_resume_link_cannot_cancel() -> None:
    form = {"pauseflow_page": "1", "decision": "cancel", "data": ""}

    with pytest.raises(InvalidBody, match="this link takes resume"):
        read_request("resume", Body(form, ""), {})


def test_an_unknown_charset_leaves_no_trace_in_python() -> None:
    """Python remembers each name of a codec that it was asked for, for as long as it runs."""
    with pytest.raises(UnknownCharset, match="send it again as UTF-8"):
        parse_body(b"x", "text/plain; charset=never-heard-of-it")

    assert "never-heard-of-it" not in encodings._cache
    assert "never_heard_of_it" not in encodings._cache


ROWS = {
    "type": "object",
    "properties": {
        "rows": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
    },
}


@pytest.mark.parametrize("number", ["200", "999999999", "9" * 5000])
def test_a_row_that_the_page_cannot_have_is_an_error(number: str) -> None:
    read = read_form(ROWS, {"answer/rows/0/a": ["x"], f"answer/rows/{number}/a": ["y"]})

    assert [error["path"] for error in read.problems] == [["rows"]]
    assert "at most 200 entries" in read.problems[0]["message"]


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "٣", ""])
def test_what_is_no_number_of_a_row_is_none(number: str) -> None:
    read = read_form(ROWS, {"answer/rows/0/a": ["x"], f"answer/rows/{number}/a": ["y"]})

    assert read.value == {"rows": [{"a": "x"}]}


def test_rows_within_rows_are_read_once_each() -> None:
    """10,000 fields, each of which was looked at for every row once."""
    looked_at = 0

    class Counted(dict[str, list[str]]):
        def items(self) -> Any:
            nonlocal looked_at
            looked_at += len(self)
            return super().items()

    inner: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
    for _ in range(3):
        inner = {"type": "object", "properties": {"rows": {"type": "array", "items": inner}}}
    sent = Counted({f"answer/rows/{x}/rows/{y}/rows/0/a": ["v"] for x in range(100) for y in range(100)})

    read = read_form(inner, sent).value

    assert read["rows"][99]["rows"][99] == {"rows": [{"a": "v"}]}
    assert looked_at <= 2 * len(sent)


@pytest.mark.parametrize("text", ["NaN", "1e999", "[" * 1000, "Infinity"])
def test_what_no_json_can_hold_stays_text_in_a_form(text: str) -> None:
    schema = {"type": "object", "properties": {"x": {}, "n": {"type": "number"}}}

    read = read_pairs(schema, {"x": text, "n": text})

    assert read.value == {"x": text, "n": text}
    assert [error["path"] for error in read.problems] == [["n"]]
