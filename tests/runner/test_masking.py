"""Links never reach a saved notebook, in whatever clothes."""

import html
import json
import re
import textwrap
import urllib.parse
from collections.abc import Callable

import pytest

from pauseflow_nb.links import Signer
from pauseflow_nb.runner.masking import MASK, Mask

LINKS = Signer(["key"]).links("http://127.0.0.1:7287", "e1", 0, "approve")
LINK = LINKS["resume_url"]
TOKEN = LINK.rpartition("/")[2]


@pytest.mark.parametrize(
    "dressed",
    [
        str,
        html.escape,
        json.dumps,
        lambda text: json.dumps(text).replace("/", "\\/"),
        urllib.parse.quote,
        lambda text: urllib.parse.quote(text, safe=""),
        lambda text: "\n".join(textwrap.wrap(text, 30)),
        lambda text: repr("\n".join(textwrap.wrap(text, 30))),
        lambda text: "\x1b[4m" + text[:60] + "\x1b[0m\n\x1b[4m" + text[60:] + "\x1b[0m",
        lambda text: f"the token alone: {text.rpartition('/')[2]}",
    ],
)
def test_an_issued_link_is_masked(dressed: Callable[[str], str]) -> None:
    mask = Mask()
    mask.hide(LINKS.values())

    masked = mask.text(dressed(LINK))

    assert MASK in masked
    assert TOKEN[-12:] not in masked
    assert TOKEN[:12] not in masked


@pytest.mark.parametrize("token", ["name-1", "12mark-2", ";3"])
@pytest.mark.parametrize("before", ["\\", "\x1b[", "\x1b[0;", "\\ ", ""])
@pytest.mark.parametrize("gap", ["", "\n", "\\n", " \x1b[1m\\n "])
def test_a_token_is_masked_that_begins_as_what_stands_in_gaps(token: str, before: str, gap: str) -> None:
    mask = Mask()
    mask.hide([f"http://host/{token}"])

    assert mask.text(f"a{before}{gap.join(token)}-b") == f"a{before}{MASK}-b"


def test_of_two_tokens_that_begin_alike_the_longer_is_masked_whole() -> None:
    mask = Mask()
    mask.hide(["http://host/Wabc", "http://host/Wabcdef", "http://host/Wx"])

    assert mask.text("Wabcdef Wabc Wx Wab") == f"{MASK} {MASK} {MASK} Wab"


def test_nothing_is_compiled_for_links_that_no_text_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The links of all steps are hidden in each segment, and almost none is ever shown."""
    mask, compiled, compile_pattern = Mask(), [], re.compile

    def note(pattern: str) -> re.Pattern[str]:
        compiled.append(pattern)
        return compile_pattern(pattern)

    monkeypatch.setattr("re.compile", note)

    mask.hide(LINKS.values())
    mask.text("an accuracy of 0.97")
    assert compiled == []
    mask.text(LINK)
    mask.text(LINK)
    assert len(compiled) == 1


def test_an_unknown_link_is_masked_by_its_shape() -> None:
    assert Mask().text(f"open {LINK} now") == "open http://127.0.0.1:7287/pauseflow/resume/*** now"
    assert Mask().text(urllib.parse.quote(LINK, safe="")).endswith("resume%2F***")
    assert Mask().text("POST /pauseflow/resume/TOKEN resumes") == "POST /pauseflow/resume/TOKEN resumes"


@pytest.mark.parametrize(
    "quoted",
    [
        f"404 GET /resume/{TOKEN} (127.0.0.1) 1 ms",
        f"/pauseflow//resume/{TOKEN}",
        f"token={TOKEN}&x=1",
        TOKEN,
        TOKEN.replace(".", "%2E"),
        TOKEN.replace(".", "%2e"),
        TOKEN.replace(".", "%252E"),
        TOKEN.replace(".", "%25252e"),
        "".join(f"%{ord(char):02X}" for char in TOKEN),
        f"/x%2Fresume%2F{TOKEN.replace('.', '%2E')}",
        f"/resume/{TOKEN}-and-more",
        f"/resume/of.{TOKEN}",
    ],
)
def test_an_unknown_token_is_masked_by_its_shape_in_any_place(quoted: str) -> None:
    masked = Mask().text(quoted)

    assert MASK in masked
    assert TOKEN[5:30] not in urllib.parse.unquote(masked)
    assert TOKEN[-20:] not in masked


def test_tokens_of_earlier_versions_are_masked_too() -> None:
    compressed = ".eJyLVkpKTFHSUTLQUSouSS0AkUWpxaW5qUpKsQBn2wfI." + "x" * 43

    assert Mask().text(f"/resume/{compressed}") == f"/resume/{MASK}"


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ." + "x" * 43,
        "WyIx.short",
        "Wy" + "a" * 1000,
        "%" * 1000,
        "a.b" * 1000,
    ],
)
def test_what_only_looks_like_a_token_stays(text: str) -> None:
    assert Mask().text(text) == text


@pytest.mark.parametrize("text", ["WyI" * 1_000_000, ".eJ" * 1_000_000, "%57yI" * 500_000, "WyI." * 500_000])
def test_a_long_text_that_begins_like_many_tokens_is_read_once(text: str) -> None:
    # Trying each beginning up to the end of the text would take hours.
    assert Mask().text(text) == text


def test_keys_and_nested_values_are_masked_and_the_value_stays_as_it_is() -> None:
    mask = Mask()
    mask.hide([LINK])
    value = {"a": [{"url": LINK}, 1, None], TOKEN: True}

    masked = mask.value(value)

    assert TOKEN not in json.dumps(masked)
    assert value["a"] == [{"url": LINK}, 1, None]
