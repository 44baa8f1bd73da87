"""The notebook's outputs on the approval page: shown, sanitised, bounded."""

import json
from typing import Any

import pytest
from nbformat import v4

from pauseflow_nb.server.public.outputs import MOST_IMAGE, MOST_TEXT, collect_evidence


def shown(*outputs: dict[str, Any], source: str = "x") -> str:
    cell = v4.new_code_cell(source, execution_count=3, outputs=list(outputs))
    document = json.dumps(v4.new_notebook(cells=[cell])).encode()
    return "".join(part for exhibit in collect_evidence(document, 0) for part in exhibit.parts)


def display(**data: Any) -> dict[str, Any]:
    names = {"png": "image/png", "svg": "image/svg+xml", "html": "text/html", "plain": "text/plain"}
    output: dict[str, Any] = v4.new_output("display_data", {names[name]: value for name, value in data.items()})
    return output


def test_a_plot_is_a_picture_with_its_text() -> None:
    html = shown(display(png="aGk=", plain="<Figure & axes>"))

    assert 'src="data:image/png;base64,aGk="' in html
    assert 'alt="&lt;Figure &amp; axes&gt;"' in html


def test_a_table_stays_a_table() -> None:
    html = shown(display(html='<table border="1" class="dataframe"><tr><th scope="col">a</th><td>1</td></tr></table>'))

    assert '<th scope="col">a</th><td>1</td>' in html


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '<img src="https://example.org/spy.png">',
        '<img src=x onerror="alert(1)">',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        "<style>body{display:none}</style>",
        '<div style="position:fixed;inset:0">x</div>',
        '<form action="https://example.org"><input name="data"></form>',
        '<iframe src="https://example.org"></iframe>',
        '<base href="https://example.org">',
        '<meta http-equiv="refresh" content="0;url=https://example.org">',
        '<svg onload="alert(1)"></svg>',
    ],
)
def test_hostile_html_does_nothing(hostile: str) -> None:
    html = shown(display(html=f"<p>kept</p>{hostile}"))

    assert "kept" in html
    for sign in ("alert", "example.org", "style", "<form", "<input", "<iframe", "<base", "<meta", "<svg", "data:text"):
        assert sign not in html


def test_a_check_of_a_fresh_cell_is_one_line_and_its_table_is_left_to_the_page() -> None:
    check = display(html="<table></table>", plain="price, checked again: <b>.\n  changed  price: 1 \u2192 2")
    check["metadata"] = {"pauseflow": {"kind": "fresh"}}

    assert shown(check) == '<p class="hint" dir="auto">price, checked again: &lt;b&gt;.</p>'


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "display_data", "metadata": {"pauseflow": {"kind": "fresh"}}},
        {"output_type": "display_data", "data": {"text/plain": 5}},
        {"output_type": "display_data", "data": {"text/html": None}},
        {"output_type": "display_data", "data": {"text/html": ["<b>", 5]}},
        {"output_type": "display_data", "data": {"image/svg+xml": {"a": 1}}},
        {"output_type": "display_data", "data": {"image/svg+xml": "<svg>\ud800</svg>"}},
        {"output_type": "display_data", "data": {"text/html": "\ud800<b>x</b>"}},
        {"output_type": "display_data", "data": None},
        {"output_type": "stream", "text": 5},
        {"output_type": "error", "traceback": [5, None]},
        {"output_type": "error"},
        {},
    ],
)
def test_a_damaged_output_does_not_take_the_page_down(output: dict[str, Any]) -> None:
    cell = {"cell_type": "code", "source": "x", "outputs": [output, {"output_type": "stream", "text": "kept"}]}
    exhibits = collect_evidence(json.dumps({"cells": [cell]}).encode(), 0)

    assert "kept" in "".join(part for exhibit in exhibits for part in exhibit.parts)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("html", ["<div>" * 40_000, "<b><i>" * 30_000 + "</i>" * 20_000])
def test_elements_piled_up_do_not_keep_the_server_busy(html: str) -> None:
    """Cleaning 40,000 of them took twenty seconds, at every look at the page."""
    assert "too large" in shown(display(html=html))


def test_a_long_table_is_not_deep() -> None:
    assert shown(display(html=f"<table>{'<tr><td>1<br></td></tr>' * 2000}</table>")).count("<td>") == 2000


def test_a_drawing_cannot_run_its_script() -> None:
    html = shown(display(svg="<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"))

    assert html.startswith("<img")
    assert "alert" not in html


def test_text_is_escaped_and_loses_its_colours() -> None:
    html = shown(
        v4.new_output("stream", text="\x1b[31m<b>red</b>\x1b[0m \x1b]8;;http://example.org\x07link\x1b]8;;\x07\x9b1m")
    )

    assert ">&lt;b&gt;red&lt;/b&gt; link<" in html


def test_the_answered_card_of_the_question_is_no_evidence_and_that_of_an_earlier_one_is() -> None:
    cards = [
        v4.new_output(
            "display_data",
            {"text/plain": text},
            metadata={"pauseflow": {"kind": "suspension", "ordinal": ordinal, "decision": {"action": "resume"}}},
        )
        for ordinal, text in enumerate(["the earlier question", "this question"])
    ]
    document = json.dumps(v4.new_notebook(cells=[v4.new_code_cell(outputs=cards)])).encode()

    (exhibit,) = collect_evidence(document, 0, 1)
    assert "the earlier question" in "".join(exhibit.parts)
    assert "this question" not in "".join(exhibit.parts)


def test_our_own_card_is_not_evidence() -> None:
    card = v4.new_output(
        "display_data", {"text/plain": "waits"}, metadata={"pauseflow": {"kind": "suspension", "decision": None}}
    )

    assert shown(card) == ""


def test_what_is_too_large_is_named() -> None:
    assert "left out" in shown(v4.new_output("stream", text="x" * (MOST_TEXT * 2)))
    assert "too large" in shown(display(png="A" * (MOST_IMAGE + 1)))


def test_what_came_after_the_pause_is_not_shown() -> None:
    cells = [
        v4.new_code_cell("x", outputs=[v4.new_output("stream", text=text)]) for text in ("before", "asked", "after")
    ]
    document = json.dumps(v4.new_notebook(cells=cells)).encode()

    assert [len(exhibit.parts) for exhibit in collect_evidence(document, 1)] == [1, 1]


def test_an_exhibit_names_its_cell_and_step() -> None:
    cell = v4.new_code_cell("%%step train\n1", execution_count=3, outputs=[v4.new_output("stream", text="x")])
    (exhibit,) = collect_evidence(json.dumps(v4.new_notebook(cells=[cell])).encode(), 0)

    assert (exhibit.cell, exhibit.step) == (0, "train")
