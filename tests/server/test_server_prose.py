"""Messages in Markdown, as the approval page shows them."""

from html.parser import HTMLParser

import pytest

from pauseflow_nb.forms.markdown import as_html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Send it?\n\nIt has **12** pages", "<h2>Send it?</h2>\n<p>It has <strong>12</strong> pages</p>\n"),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("* a\n* `b_c`", "<ul>\n<li>a</li>\n<li><code>b_c</code></li>\n</ul>\n"),
        ("two_small_words and 3 * 4", "<p>two_small_words and 3 * 4</p>\n"),
        (
            "see https://example.org/a",
            '<p>see <a href="https://example.org/a" rel="noopener noreferrer nofollow">https://example.org/a</a></p>\n',
        ),
        ("|a|b|\n|-|-|\n|1|2|", "<td>1</td>"),
        ("日本語\x00 ✓", "<p>日本語 ✓</p>\n"),
        ("", ""),
    ],
)
def test_a_message_is_markdown(text: str, html: str) -> None:
    assert html in as_html(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![see](https://example.org/pixel.png)",
        "[go](javascript:alert(1))",
        "[go](data:text/html,<script>alert(1)</script>)",
        '<a href="https://example.org" onclick="alert(1)">x</a>',
        "<style>body {display: none}</style>",
        '<form action="https://example.org"><button>',
    ],
)
def test_nothing_in_it_can_act_or_fetch(text: str) -> None:
    found: list[tuple[str, list[tuple[str, str | None]]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, attrs))  # type: ignore[method-assign]
    parser.feed(as_html(f"{text}\n\nand **more**"))

    assert {tag for tag, _ in found} <= {"p", "strong", "a"}
    assert ("strong", []) in found
    for _, attributes in found:
        assert {name for name, _ in attributes} <= {"href", "rel"}
        # `#…` is what is left of a harmful one.
        assert (dict(attributes).get("href") or "#").startswith(("https://", "#"))


def test_html_is_shown_as_it_was_typed() -> None:
    assert as_html("1 < 2 & <b>x</b>") == "<p>1 &lt; 2 &amp; &lt;b&gt;x&lt;/b&gt;</p>\n"
