"""No form of a secret is left in what was masked, and nothing else is changed."""

import base64
import html
import json
import re
import shlex
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.user_secrets.secret_mask import SECRET_MASK, SecretMask

VALUE = 's3cr3t-"välue"/42&<\'\\x>'
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----"


def masking(*values: str) -> SecretMask:
    mask = SecretMask()
    for value in values:
        mask.add(value)
    return mask


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda value: repr(value.encode()),
    "json": json.dumps,
    "json, not only ascii": lambda value: json.dumps(value, ensure_ascii=False),
    "json in json": lambda value: json.dumps(json.dumps({"key": value})),
    "json in a script": lambda value: (
        json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    ),
    "json with escaped slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "html": html.escape,
    "html without quotes": lambda value: html.escape(value, quote=False),
    "url": lambda value: quote(value, safe=""),
    "url with slashes": quote,
    "form": quote_plus,
    "url in small letters": lambda value: quote(value, safe="").replace("%C3%A4", "%c3%a4").replace("%2F", "%2f"),
    "url in a url": lambda value: quote(quote(value, safe=""), safe=""),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 for urls": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 without its end": lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
    "basic authentication": lambda value: base64.b64encode(b"ann:" + value.encode()).decode(),
    "base64 of a line": lambda value: base64.b64encode(value.encode() + b"\n").decode(),
    "base64 within a text": lambda value: base64.b64encode(b'{"key": "' + value.encode() + b'"}').decode(),
    "hex": lambda value: value.encode().hex(),
    "hex in capitals": lambda value: value.encode().hex().upper(),
    "hex with colons": lambda value: value.encode().hex(":"),
    "hex with blanks": lambda value: value.encode().hex(" "),
    "a list of bytes": lambda value: str(list(value.encode())),
    "a regular expression": re.escape,
    "a word of a command": shlex.quote,
    "wrapped": lambda value: textwrap.fill(value, 7),
    "coloured": "\x1b[31m".join,
    "one letter a line": "\n".join,
    "wrapped base64": lambda value: "\n".join(textwrap.wrap(base64.b64encode(value.encode()).decode(), 10)),
}


def core(form: str, before: int = 3, after: int = 3) -> str:
    """The middle of a form: of base64 the neighbours decide what the ends are."""
    return form[before : len(form) - after]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["{}", "Bearer {}", 'x="{}", y', "a\n{}\nb"])
def test_every_usual_form_is_masked(form: str, around: str) -> None:
    written = FORMS[form](VALUE)
    masked = masking(VALUE).text(around.format(written))

    assert SECRET_MASK in masked
    assert core(written) not in masked
    assert VALUE[:10] not in masked


@given(st.text(min_size=4, max_size=60), st.sampled_from(sorted(FORMS)))
def test_no_value_is_left_in_any_form(value: str, form: str) -> None:
    try:
        written = FORMS[form](value)
    except UnicodeEncodeError:
        return
    if form in {"wrapped", "coloured", "one letter a line"} and len("".join(value.split())) < 12:
        return  # too short to be told from words that happen to follow each other
    assert value not in masking(value).text(written) or value in SECRET_MASK


@pytest.mark.parametrize("text", ["", "nothing here", "•", "s3cr3t", "<b>bold</b> & more", "a\\nb \x1b[31mred\x1b[0m"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert masking(VALUE).text(text) == text


def test_a_short_secret_is_masked_as_a_word_of_its_own() -> None:
    assert masking("42").text("42, 420 and x42 or (42)") == f"{SECRET_MASK}, 420 and x42 or ({SECRET_MASK})"


def test_each_line_of_a_key_is_masked_alone() -> None:
    masked = masking(PEM).text("loaded AoIBAQC7VJTUt9Us8cKj of\n" + PEM)
    assert "AoIBAQ" not in masked
    assert "MIIEvQ" not in masked


def test_the_texts_within_a_secret_that_is_json_are_masked_alone() -> None:
    masked = masking(json.dumps({"user": "ann", "key": {"private": PEM, "token": "tok-12345678"}})).text(
        f"tok-12345678 {PEM}"
    )
    assert "tok-1" not in masked
    assert "AoIBAQ" not in masked


def test_the_longer_of_two_secrets_is_masked_as_a_whole() -> None:
    assert masking("abcdef", "abcdef-ghijkl").text("abcdef-ghijkl abcdef") == f"{SECRET_MASK} {SECRET_MASK}"


def test_values_are_masked_at_any_depth_keys_included() -> None:
    masked = masking("s3cr3t-1").value({"s3cr3t-1": [{"a": ("xs3cr3t-1", 1, None)}]})
    assert masked == {SECRET_MASK: [{"a": [f"x{SECRET_MASK}", 1, None]}]}


@pytest.mark.parametrize(("text", "count"), [("so far s3cr", 4), ("s3cr3t-", 7), ("nothing", 0), ("", 0), ("x\n", 0)])
def test_the_beginning_of_a_secret_is_recognised_at_the_end_of_a_text(text: str, count: int) -> None:
    assert masking("s3cr3t-1").count_beginning(text) == count


def test_memory_that_holds_a_value_is_recognised() -> None:
    mask = masking("s3cr3t-1")
    assert mask.is_in_memory(b"..s3cr3t-1..")
    assert mask.is_in_memory(b"..czNjcjN0LTE=..")
    assert mask.is_in_memory("s3cr3t-1".encode("utf-32-le"))
    assert not mask.is_in_memory(b"s3cr3t")
    assert mask.longest >= len("s3cr3t-1") * 4


def test_large_texts_take_time_in_proportion() -> None:
    """A text of several megabytes without a secret, with all that the search looks for."""
    text = ("a line of words = %20 \\n \x1b[31mred\x1b[0m and czNjcjN0 \n" * 100_000)[:4_000_000]
    assert masking(*(f"{VALUE}{number}" for number in range(5)), PEM).text(text) == text
