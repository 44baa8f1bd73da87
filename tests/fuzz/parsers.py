"""Targets that are functions: bodies, JSON, forms, schemas, tokens, headers, durations, settings, parameters."""

import base64
import contextlib
import tempfile
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any

from fuzz.target import pure
from fuzz.values import (
    bytes_damaged,
    header_names,
    header_values,
    json_texts,
    json_values,
    maybe_large,
    names,
    schemas,
    text_damaged,
    texts,
)
from hypothesis import strategies as st

from pauseflow_nb.cli.parameter_flags import resolve_parameters
from pauseflow_nb.durations import LONGEST, SHORTEST, parse_duration, parse_milliseconds, parse_seconds
from pauseflow_nb.errors import InvalidBody, InvalidDuration, InvalidParameter, InvalidSetting, UnknownLink
from pauseflow_nb.forms import schema as our_schemas
from pauseflow_nb.forms.codec import initial_entries, read_form, read_pairs
from pauseflow_nb.forms.controls import draw
from pauseflow_nb.forms.fields import fields_of
from pauseflow_nb.forms.lax import wrap_value
from pauseflow_nb.json_values import dump_compact, require_json
from pauseflow_nb.links import ACTIONS, Claim, Signer
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.public.bodies import parse_body, parse_json, parse_pairs
from pauseflow_nb.server.public.decision import read_entries, read_request
from pauseflow_nb.server.public.negotiation import may_act, prefers_json, wants_html
from pauseflow_nb.settings import Settings

__all__ = ["TARGETS", "bodies", "content_types", "require_storable"]


def require_storable(value: Any) -> None:
    """Whatever is read from a request has to fit into the database, the notebook and every list."""
    require_json("what was read", value)
    dump_compact(value).encode()


# Bodies

_CHARSETS = (
    "utf-8", "UTF8", "latin-1", "iso-8859-15", "windows-1252", "utf-16", "utf-16-le", "utf-32", "utf-7", "shift_jis", "gb18030", "big5",
    "punycode", "idna", "unicode_escape", "raw_unicode_escape", "rot13", "hex", "zlib", "bz2", "base64", "uu", "mbcs", "undefined",
    "utf_8_sig", "cp65001", "x-user-defined", "us-ascii", "\u00fc", "utf-8\0", "",
)  # fmt: skip
_KINDS = (
    "application/json", "text/json", "application/ld+json", "application/x-www-form-urlencoded", "text/plain", "text/html", "*/*", "json",
    "application/octet-stream", "multipart/form-data; boundary=X", 'multipart/form-data; boundary="X"', "multipart/form-data",
    "multipart/mixed; boundary=X", "application/xml", "image/png", "application/json-seq", "/", ";", "",
)  # fmt: skip

content_types = st.one_of(
    st.none(),
    st.sampled_from(_KINDS),
    st.builds("{}; charset={}".format, st.sampled_from(_KINDS), st.sampled_from(_CHARSETS)),
    text_damaged(
        st.builds("{}; charset=\"{}\"; x*=utf-8''%41".format, st.sampled_from(_KINDS), st.sampled_from(_CHARSETS))
    ),
)

_forms = st.lists(st.tuples(names, texts), max_size=6)


def _percent(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text.encode("utf-8", "surrogatepass"))


_pairs = _forms.map(lambda pairs: "&".join(f"{_percent(name)}={_percent(value)}" for name, value in pairs))
_queries = st.one_of(
    _pairs, text_damaged(_pairs), maybe_large(st.sampled_from(["a=1&", "&", "=", "%", "a=%FF&", "a;b=c;"])), texts
)


def _part(name: str, value: str, filename: str | None) -> bytes:
    disposition = f'; filename="{filename}"\r\nContent-Type: text/x' if filename is not None else ""
    return f'--X\r\nContent-Disposition: form-data; name="{name}"{disposition}\r\n\r\n{value}\r\n'.encode(
        "utf-8", "replace"
    )


_multiparts = st.lists(st.builds(_part, names, texts, st.one_of(st.none(), texts)), max_size=5).map(
    lambda parts: b"".join(parts) + b"--X--\r\n"
)

bodies = st.one_of(
    json_texts.map(lambda text: text.encode("utf-8", "replace")),
    st.builds(
        lambda text, codec: text.encode(codec, "replace"),
        json_texts,
        st.sampled_from(["utf-8-sig", "utf-16", "latin-1", "utf-32"]),
    ),
    _queries.map(lambda text: text.encode("utf-8", "replace")),
    _multiparts,
    bytes_damaged(_multiparts),
    st.binary(max_size=60),
    maybe_large(st.binary(min_size=1, max_size=4)),
    maybe_large(st.sampled_from([b"a", b"\xff", b"\0", b"+AA-", b"\\u0041", b"%41", b"xn--", b"a-", b"\x1b$B"])),
)


def _check_body(given: tuple[bytes, str | None]) -> None:
    data, content_type = given
    try:
        body = parse_body(data, content_type)
    except InvalidBody as problem:
        assert str(problem)
        return
    require_storable(body.value)
    require_storable(body.raw)


def _check_json(text: str) -> None:
    with contextlib.suppress(InvalidBody):
        require_storable(parse_json("the body", text))


def _check_query(text: str) -> None:
    try:
        found = parse_pairs(text)
    except InvalidBody:
        assert text.count("&") >= 10_000
        return
    require_storable(found)


# Forms and schemas

_paths = st.lists(
    st.one_of(names, st.integers(0, 10**6).map(str), st.sampled_from(["9" * 5000, "-1", "٣", "0" * 100])), max_size=4
)
_entries = st.dictionaries(
    _paths.map(lambda path: "/".join(["answer", *(each.replace("~", "~0").replace("/", "~1") for each in path)])),
    st.lists(texts, max_size=3),
    max_size=6,
)


def _is_usable(schema: Any) -> bool:
    """Whether `flow.suspend` takes it: no other schema ever gets to a server."""
    return isinstance(schema, Mapping) and our_schemas.find_problem(schema) is None


def _check_form(given: tuple[Any, dict[str, list[str]], dict[str, Any]]) -> None:
    schema, entries, pairs = given
    if not _is_usable(schema):
        return
    fields_of(schema)
    initial_entries(schema)
    for reading in (read_form(schema, entries), read_pairs(schema, pairs)):
        require_storable(reading.value)
        require_storable(reading.place(reading.problems))
    require_storable(draw(schema, entries).to_dict())


def _check_schema(given: tuple[Any, Any, int]) -> None:
    schema, value, times = given
    if not _is_usable(schema):
        return
    for answer in (value, [value] * times, {"value": [value] * times}):
        errors = our_schemas.find_errors(schema, wrap_value(schema, answer))
        assert len(errors) <= 100
        require_storable(errors)
        our_schemas.join_errors(errors)


def _check_request(given: tuple[str, bytes, str | None, str, Any]) -> None:
    action, data, content_type, query, schema = given
    usable = schema if _is_usable(schema) else None
    try:
        body = parse_body(data, content_type)
        read_entries(body)
        wanted = read_request(action, body, parse_pairs(query), usable)
    except InvalidBody:
        return
    assert wanted.action in ("resume", "send_back", "cancel")
    assert action in (wanted.action, "approve")
    require_storable(wanted.body.value)
    require_storable(wanted.comment)


_page_forms = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["decision", "data", "comment", "answer", "answer/a", "answer/rows/0/a"]), names),
        texts,
    ),
    max_size=6,
).map(
    lambda pairs: "&".join(
        ["pauseflow_page=1", *(f"{_percent(name)}={_percent(value)}" for name, value in pairs)]
    ).encode()
)

_requests = st.tuples(
    st.sampled_from(ACTIONS),
    st.one_of(bodies, _page_forms),
    st.one_of(content_types, st.just("application/x-www-form-urlencoded")),
    _queries,
    st.one_of(st.none(), schemas),
)

# Tokens

_SIGNER = Signer(["old key", "a key of this run"])
_TOKENS = [
    _SIGNER.token(Claim("0123456789ab", segment, step, ordinal, action))
    for segment, step, ordinal in ((0, "approve", 0), (12, "übergabe", 3), (1, "s" * 300, 0))
    for action in ACTIONS
]


def _check_token(given: tuple[str, str]) -> None:
    token, action = given
    try:
        claim = _SIGNER.read(token, action)
    except UnknownLink:
        return
    # Only what we signed verifies, and only for what it was signed for.
    assert token in _TOKENS
    assert claim.action == action


def _check_mask(given: tuple[str, str, str]) -> None:
    before, after, prefix = given
    for token in _TOKENS[:3]:
        assert token not in Mask().text(f"{before}{prefix}{token}{after}")


# Headers

_headers = st.dictionaries(header_names, header_values, max_size=5)


def _check_headers(given: tuple[str, dict[str, str], str]) -> None:
    method, headers, links = given
    # As tornado has them: names in any case.
    asked = Message()
    for name, value in headers.items():
        asked[name] = " ".join(value.split())
    acts = may_act(method, asked, links)  # type: ignore[arg-type]
    wants_html(asked)  # type: ignore[arg-type]
    prefers_json(asked)  # type: ignore[arg-type]
    if method in ("HEAD", "OPTIONS") or (method == "GET" and links == "strict"):
        assert not acts
    if method == "GET" and links == "confirm":
        agent = headers.get("User-Agent", "").lower()
        assert not (acts and any(name.startswith("Sec-Fetch") for name in headers))
        assert not (acts and any(word in agent for word in ("mozilla", "bot", "crawl", "spider", "preview")))


# What people write: durations, settings, parameters

_spans = st.one_of(
    texts,
    text_damaged(st.sampled_from(["90s", "1h30m", "7 d", "0.5ms", "1w2d", "1e3s"])),
    st.floats(),
    st.integers(),
    json_values,
)


def _check_duration(value: Any) -> None:
    for read in (parse_duration, parse_milliseconds, parse_seconds):
        with contextlib.suppress(InvalidDuration):
            assert SHORTEST <= read(value) <= LONGEST


_TOML = (
    'port = 1\nlinks = "strict"\n', 'public_url = "https://x/y"\n', "quota = '10 GiB'\n[notify]\nteam = 'slack://x'\n", "workers = 2 # x\n",
    'redirect = "/thanks?run={execution}"\n', "storage = 's3://b/p'\n", 'db = "postgresql://u:p@h/d"\n', 'data_dir = "x"\n',
    "smtp_port = 25\nsmtp_to = 'a@b'\n", 'kernels = "auto"\nkept_kernels = 3\n', "max_body = '1 MiB'\n", "x = {a = [1, {b = 2}]}\n",
)  # fmt: skip
_tomls = text_damaged(st.lists(st.sampled_from(_TOML), max_size=3, unique=True).map("".join))
_variables = st.dictionaries(
    st.sampled_from([f"PAUSEFLOW_{name.upper()}" for name in Settings.model_fields if name != "data_dir"]),
    texts.filter(lambda text: "\0" not in text),
    max_size=3,
)


def _check_settings(given: tuple[str, dict[str, str]]) -> None:
    text, variables = given
    with tempfile.TemporaryDirectory(prefix="pauseflow-fuzz-") as folder:
        Path(folder, "pauseflow.toml").write_bytes(text.encode("utf-8", "replace"))
        try:
            settings = Settings.load(flags={"data_dir": folder}, environment=variables)
        except InvalidSetting as problem:
            assert str(problem)
            return
    for name in Settings.model_fields:
        settings.shown(name)
        settings.origin(name)


_YAMLS = (
    "{a: 1, b: [x, 2.5]}",
    "a: 2026-11-20\n",
    "a: &x [1]\nb: *x\n",
    "? [1]\n: 2\n",
    "!!python/name:os.system x",
    "a: !!binary eA==\n",
    "%TAG ! x\n---\na",
    "1: 2\n",
)
#: Short ones: they come from the user's own command line, and PyYAML takes a second for 100 kB.
_yamls = st.one_of(text_damaged(st.sampled_from(_YAMLS)), json_texts).map(lambda text: text[:10_000])
_given_parameters = st.tuples(
    st.lists(st.tuples(names, texts), max_size=3),
    st.lists(_yamls, max_size=2),
    st.lists(
        st.one_of(texts, _yamls.map(lambda text: base64.b64encode(text.encode("utf-8", "replace")).decode())),
        max_size=2,
    ),
)


def _check_parameters(given: tuple[list[tuple[str, str]], list[str], list[str]]) -> None:
    typed, yaml, base64_yaml = given
    try:
        found = resolve_parameters(typed=typed, raw=typed[:1], yaml=yaml, base64_yaml=base64_yaml)
    except InvalidParameter as problem:
        assert str(problem)
        return
    assert all(name.isidentifier() for name in found)


TARGETS = [
    pure("body", st.tuples(bodies, content_types), _check_body, share=160),
    pure("json", json_texts, _check_json, share=120),
    pure("query", _queries, _check_query, share=40),
    pure(
        "form",
        st.tuples(
            schemas,
            _entries,
            st.dictionaries(names, st.one_of(texts, st.lists(texts, min_size=1, max_size=3)), max_size=4),
        ),
        _check_form,
        share=60,
    ),
    pure("schema", st.tuples(schemas, json_values, st.sampled_from([1, 1, 1, 3, 100, 3000])), _check_schema, share=60),
    pure("request", _requests, _check_request, share=90),
    pure(
        "token",
        st.tuples(st.one_of(text_damaged(st.sampled_from(_TOKENS)), texts), st.sampled_from(ACTIONS)),
        _check_token,
        share=100,
    ),
    pure(
        "mask",
        st.tuples(
            texts,
            texts,
            st.sampled_from(["pauseflow/resume/", "https://x/pauseflow/approve/", "pauseflow%2Fcancel%2F", "/resume/"]),
        ),
        _check_mask,
        share=30,
    ),
    pure(
        "headers",
        st.tuples(
            st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]),
            _headers,
            st.sampled_from(["strict", "confirm", "open"]),
        ),
        _check_headers,
        share=60,
    ),
    pure("duration", _spans, _check_duration, share=40),
    pure("settings", st.tuples(_tomls, _variables), _check_settings, share=30),
    pure("parameters", _given_parameters, _check_parameters, share=40),
]
