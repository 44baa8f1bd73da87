"""The approval page as people see it; pictures land in `tests/screenshots`."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe import found_by_axe
from evidence import keep, watch

from pauseflow_nb.protocol import Unsaved
from pauseflow_nb.store import tables

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from server.conftest import Stage

pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("Chromium draws and loads in its own time")]

SCREENSHOTS = Path(__file__).parent.parent / "screenshots"
LOOKS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "device_scale_factor": 2},
    "dark-phone": {
        "viewport": {"width": 360, "height": 740},
        "is_mobile": True,
        "device_scale_factor": 2,
        "color_scheme": "dark",
    },
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "without-javascript": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}
ASKED: dict[str, Any] = {
    "title": "Deploy the wine model to production?",
    "message": "The new model beats the one in use on the held-out set.\nIt goes live for all regions at once.",
    "data": {"model": "gradient boosting, 200 trees", "accuracy": 0.9722, "accuracy in use": 0.9444, "rows": 178},
    "seconds": 7 * 3600 + 1200,
}


@pytest.fixture
def open_page(browser: "Browser", request: pytest.FixtureRequest) -> "Iterator[Callable[..., Page]]":
    """Open a URL with a look; whatever the page complains about fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_(url: str, look: str = "wide") -> "Page":
        contexts.append(browser.new_context(**LOOKS[look]))
        page = contexts[-1].new_page()
        watch(request.node, page)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page  # type: ignore[no-any-return]

    yield open_
    # Chromium reports the status of a page that says 4xx as an error; that is the page's job here.
    problems = [text for text in complaints if "Failed to load resource" not in text]
    if problems:
        keep(request.node)
    for context in contexts:
        context.close()
    assert problems == []


def picture(page: "Page", name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"page-{name}.png", full_page=True)


@pytest.mark.parametrize("look", ["wide", "phone", "dark", "without-javascript"])
def test_a_person_approves_with_a_comment(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link('approve', execution)}", look)
    picture(page, f"open-{look}")
    assert _overflow(page, look) == 0
    assert page.locator(".message").inner_text() == ASKED["message"]

    page.get_by_label("Comment").fill("go ahead")
    page.get_by_role("button", name="Approve").click()

    verdict = page.get_by_role("status")
    assert re.search(r"Approved by someone with the link on \d+ \w+ \d{4}, \d\d:\d\d UTC", verdict.inner_text())
    picture(page, f"approved-{look}")
    assert stage.resume_data(execution)["body"] == {"comment": "go ahead"}
    page.goto(page.url)
    assert "Approved by" in page.get_by_role("status").inner_text()
    assert page.get_by_role("button").count() == 0


def test_what_the_browser_showed_can_be_kept(
    open_page: "Callable[..., Page]", request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("evidence.FAILED", tmp_path)
    open_page("data:text/html,<h1>Here</h1><script>console.log('and there')</script>")

    folder = keep(request.node)

    assert folder is not None
    assert folder.parent == tmp_path
    assert "<h1>Here</h1>" in (folder / "page-1.html").read_text()
    assert "log: and there" in (folder / "console-1.txt").read_text()
    assert (folder / "page-1.png").read_bytes().startswith(b"\x89PNG")


def _overflow(page: "Page", look: str) -> int:
    if look == "without-javascript":
        return 0
    found: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found


def test_a_person_cancels_with_the_keyboard(open_page: "Callable[..., Page]", stage: "Stage", base: str) -> None:
    execution = stage.suspended(title="Send 4,000 mails?")
    page = open_page(f"{base}/{stage.link('approve', execution)}")
    for _ in range(4):
        page.keyboard.press("Tab")
    picture(page, "focus")

    page.keyboard.press("Enter")

    assert "Cancelled by someone with the link" in page.get_by_role("status").inner_text()
    picture(page, "cancelled")
    assert stage.queue.state(execution) == "cancelled"


def test_broken_json_is_said_and_what_was_typed_is_kept(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link('approve', execution)}", "phone")
    page.get_by_text("Send data instead").click()
    page.get_by_label("Data as JSON").fill('{"comment": go}')
    page.get_by_role("button", name="Approve").click()

    assert "cannot be read" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Data as JSON").input_value() == '{"comment": go}'
    picture(page, "refused")
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize(
    ("action", "button", "state"), [("resume", "Approve", "queued"), ("cancel", "Cancel the run", "cancelled")]
)
def test_a_link_of_one_decision_shows_its_one_button(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, action: str, button: str, state: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link(action, execution)}")
    assert [found.inner_text() for found in page.get_by_role("button").all()] == [button]

    page.get_by_role("button", name=button).click()

    assert stage.queue.state(execution) == state


def test_before_the_step_has_ended_an_answer_is_kept(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    execution = stage.begun()
    page = open_page(f"{base}/{stage.link('approve', execution)}")
    picture(page, "early")
    page.get_by_role("button", name="Approve").click()

    assert "Your answer is kept" in page.get_by_role("status").inner_text()
    picture(page, "kept")


def test_the_second_of_two_people_learns_what_the_first_decided(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link('approve', execution)}", "dark")
    stage.queue.resume(execution, by="user:ada")

    page.get_by_role("button", name="Cancel the run").click()

    status_text = " ".join(found.inner_text() for found in page.get_by_role("status").all())
    assert "The other decision came first" in status_text
    assert "Approved by ada" in status_text
    picture(page, "conflict")


def test_a_retry_and_a_delay_have_buttons_of_their_own(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    for kind, label in (("rerun", "Run again now"), ("delay", "Continue now")):
        execution = stage.suspended(kind=kind, on_timeout="resume", seconds=60)
        page = open_page(f"{base}/{stage.link('approve', execution)}")

        assert page.get_by_role("button", name=label).is_visible()
        picture(page, kind)


def test_what_a_notebook_says_is_never_markup(open_page: "Callable[..., Page]", stage: "Stage", base: str) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    execution = stage.suspended(title=evil, message=evil, data={evil: evil, "deep": [evil]})

    page = open_page(f"{base}/{stage.link('approve', execution)}")

    assert page.title() != "owned"
    assert page.locator("main img, main script").count() == 0
    assert page.get_by_role("heading").inner_text() == evil
    picture(page, "nested-data")


def test_that_the_kernel_is_kept_for_it_is_said_until_it_is_answered(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    execution = stage.suspended(**ASKED)
    its = tables.segments.c.execution == execution
    kept = tables.segments.update().where(its).values(bound=[asdict(Unsaved("lock", "_thread.lock", "it is one"))])
    stage.queue.change(lambda connection: connection.execute(kept))
    page = open_page(f"{base}/{stage.link('approve', execution)}", "phone")
    status_text = page.get_by_text("the notebook stays in memory: it needs lock, which cannot be saved")
    assert status_text.is_visible()
    picture(page, "kernel-bound")

    page.get_by_role("button", name="Approve").click()

    assert "Approved by" in page.get_by_role("status").inner_text()
    assert status_text.count() == 0


def test_unknown_and_over_have_calm_pages(open_page: "Callable[..., Page]", stage: "Stage", base: str) -> None:
    execution = stage.suspended(**ASKED)
    stage.queue.cancel(execution, by="user:ada")

    unknown = open_page(f"{base}/pauseflow/approve/nosuch", "phone")
    over = open_page(f"{base}/{stage.link('approve', execution)}")

    assert unknown.get_by_role("heading").inner_text() == "This link is unknown"
    assert "This is over" in over.get_by_role("status").inner_text()
    picture(unknown, "unknown")
    picture(over, "over")


FORM = {
    "type": "object",
    "title": "Decision",
    "required": ["approved", "amount"],
    "properties": {
        "approved": {"type": "boolean", "title": "Approved"},
        "amount": {"type": "integer", "minimum": 1, "title": "Boxes", "description": "How many"},
        "size": {"enum": ["small", "large"], "title": "Size"},
        "tags": {"type": "array", "items": {"enum": ["new", "sale"]}, "title": "Tags"},
        "address": {"type": "object", "title": "Address", "properties": {"street": {"type": "string"}}},
    },
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='200' height='60'><rect width='90' height='40' fill='teal'/></svg>"


def with_outputs(*outputs: dict[str, Any]) -> bytes:
    """A notebook whose first cell has shown something."""
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": "%%step approve", "outputs": outputs}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def shown(**data: str) -> dict[str, Any]:
    names = {"png": "image/png", "svg": "image/svg+xml", "html": "text/html", "plain": "text/plain"}
    return {"output_type": "display_data", "metadata": {}, "data": {names.get(k, k): v for k, v in data.items()}}


EVIDENCE = (
    {"output_type": "stream", "name": "stdout", "text": "trained in 3 s\n" * 60},
    shown(html="<table><tr><th>wine</th><th>right</th></tr><tr><td>Barolo</td><td>0.97</td></tr></table>"),
    shown(png=PNG, plain="<Figure size 640x480>"),
    shown(svg=SVG, plain="a bar"),
)


@pytest.mark.every(3)
@pytest.mark.parametrize("look", ["wide", "dark", "phone"])
def test_axe_finds_nothing_on_any_face_of_the_page(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    execution = stage.begun(document=with_outputs(*EVIDENCE))
    stage.suspend(execution, **ASKED, schema=FORM)
    page = open_page(f"{base}/{stage.link('approve', execution)}", look)
    assert page.locator(".evidence img").count() == 2
    picture(page, f"form-{look}")
    assert found_by_axe(page) == []

    page.get_by_label("Comment").fill("ten at most")
    page.get_by_role("button", name="Submit").click()
    assert [link.inner_text() for link in page.get_by_role("alert").get_by_role("link").all()] == ["Boxes is required"]
    picture(page, f"form-problems-{look}")
    assert found_by_axe(page) == []

    page.get_by_label("Boxes").fill("3")
    page.get_by_role("button", name="Submit").click()
    assert "ten at most" in page.get_by_role("status").inner_text()
    picture(page, f"form-approved-{look}")
    assert found_by_axe(page) == []
    page.goto(f"{base}/pauseflow/approve/nosuch")
    assert found_by_axe(page) == []


MANY = {
    "type": "object",
    "required": ["boxes", "pet"],
    "properties": {
        "boxes": {"type": "integer", "title": "Boxes"},
        "pet": {
            "title": "Pet",
            "anyOf": [
                {"type": "object", "title": "Cat", "properties": {"lives": {"type": "integer", "title": "Lives"}}},
                {"type": "object", "title": "Dog", "required": ["name"], "properties": {"name": {"type": "string"}}},
            ],
        },
        "address": {"type": "object", "title": "Address", "properties": {"street": {"type": "string"}}},
        "items": {
            "type": "array",
            "title": "Items",
            "items": {"type": "object", "properties": {"n": {"type": "integer"}}},
        },
    },
}


@pytest.mark.every(3)
@pytest.mark.parametrize("look", ["wide", "dark-phone", "without-javascript"])
def test_all_errors_are_listed_first_and_lead_to_their_fields(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    execution = stage.suspended(schema=MANY)
    page = open_page(f"{base}/{stage.link('approve', execution)}", look)
    assert not page.get_by_label("Lives").is_hidden()
    assert page.get_by_label("name").is_hidden()
    page.get_by_label("Boxes").fill("1,000")
    page.get_by_label("Dog").check()
    page.get_by_label("n", exact=True).nth(1).fill("x")
    page.get_by_role("button", name="Submit").click()

    assert page.get_by_role("alert").get_by_role("heading").inner_text() == "3 entries need a change."
    assert page.get_by_role("alert").get_by_role("link").all_inner_texts() == [
        "Boxes must be a whole number without separators, such as 1000",
        "Pet: name is required",
        "Items 1: n must be a whole number, such as 12",
    ]
    assert page.locator("#errors:focus").count() == 1
    picture(page, f"errors-{look}")
    # One row is filled, and two are blank.
    assert page.get_by_label("n", exact=True).count() == 3
    page.get_by_role("link", name="name is required").click()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name" if look != "without-javascript" else "'answer/pet~b1/name'") in (
        "answer/pet~b1/name",
        "answer/items/0/n",
        "answer/address~is",
    )
    assert _overflow(page, look) == 0


def test_once_it_is_answered_the_page_follows_the_run(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link('approve', execution)}")
    page.get_by_role("button", name="Approve").click()
    assert "the run continues" in page.get_by_role("status").inner_text()

    stage.queue.cancel(execution, by="user:ada")

    page.get_by_text("the run is now cancelled").wait_for()
    assert page.get_by_text("Look again").count() == 0


def test_the_words_of_the_author_stand_on_the_buttons(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    execution = stage.suspended(**ASKED, labels={"resume": "Deploy", "cancel": "Keep the old one"})
    page = open_page(f"{base}/{stage.link('approve', execution)}")

    assert page.get_by_role("button").all_inner_texts() == ["Deploy", "Keep the old one"]
    assert page.get_by_text("Keep the old one: ends the run; no later cell runs.").is_visible()
    assert page.get_by_text("If nobody answers by").is_visible()


@pytest.mark.parametrize(
    ("label", "status_text"),
    [("No", "Answered with “No” by someone"), ("Keep the old one", "Cancelled with “Keep the old one” by")],
)
def test_what_was_pressed_is_said_in_its_own_words(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, label: str, status_text: str
) -> None:
    execution = stage.suspended(**ASKED, labels={"resume": "No", "cancel": "Keep the old one"})
    page = open_page(f"{base}/{stage.link('approve', execution)}")

    page.get_by_role("button", name=label, exact=True).click()

    assert status_text in page.get_by_role("status").inner_text()
    assert "Approved" not in page.content()


ODD_FORM = {
    "type": "object",
    "required": ["a.b", "two words", "children"],
    "properties": {
        "a.b": {"type": "integer", "minimum": 1, "maximum": 9, "title": "كم صندوقًا (v2)؟", "description": "مطلوب!"},
        "two words": {"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "x" * 120},
        "constructor": {"type": "string", "pattern": "^[a-z]+$"},
        "pick": {"enum": [f"choice {n} of very many, with quite a long text in it" for n in range(400)]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
    },
    "$defs": {"Node": {"properties": {key: {"$ref": "#/$defs/Node"} for key in "abcdefgh"}}},
}
WIDE = "".join(f"<td>column {n} of a table</td>" for n in range(40))


@pytest.mark.parametrize("look", ["dark-phone", pytest.param("wide", marks=pytest.mark.slow)])
def test_what_has_changed_stands_beside_what_was_shown(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    execution = stage.suspended(title="Buy 50 ACME?", data={"price": 100.0})
    rows = [
        {"place": "bid, row ACME", "old": "100.0", "new": "120.0", "changed": True},
        {"place": "y" * 90, "old": "an unbroken_" * 9, "new": "<b>words</b>", "changed": False},
    ]
    drift = {"name": "book", "reason": "1 of 2 values differs", "rows": rows, "more": 3}
    statement = tables.suspensions.update().where(tables.suspensions.c.execution == execution)
    stage.queue.change(lambda connection: connection.execute(statement.values(shown={"digest": "0", "drift": [drift]})))

    page = open_page(f"{base}/{stage.link('approve', execution)}", look)
    picture(page, f"drift-{look}")

    changed = page.get_by_role("region", name="book: shown and now")
    assert changed.get_by_role("row").nth(1).inner_text().split("\t") == ["bid, row ACME", "100.0", "120.0"]
    assert changed.locator("mark").all_inner_texts() == ["120.0"]
    assert "<b>words</b>" in changed.inner_text()
    assert "And 3 more that have changed." in page.locator("main").inner_text()
    assert page.get_by_role("heading", name="As it was first asked").is_visible()
    assert _overflow(page, look) == 0
    assert found_by_axe(page) == []


@pytest.mark.thorough
@pytest.mark.parametrize("look", ["dark-phone", pytest.param("wide", marks=pytest.mark.slow)])
def test_the_oddest_question_fits_and_can_be_answered_with_the_keyboard(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    table = shown(html=f"<pre>{'y ' * 900}</pre><table>{f'<tr>{WIDE}</tr>' * 60}</table>")
    execution = stage.begun(document=with_outputs(table, shown(svg=SVG, plain="long " * 5000)))
    title = "هل ننشر النموذج (v2)? " + "A title that goes on and on without an end " * 9 + "x" * 200
    data = {"a name of a value that is as long as it can be without a space_" * 4: "value " * 30, "y" * 90: "z" * 90}
    stage.suspend(execution, title=title, message="سطر أول.\nسطر ثان!", data=data, schema=ODD_FORM)
    page = open_page(f"{base}/{stage.link('approve', execution)}", look)
    picture(page, f"odd-{look}")
    assert _overflow(page, look) == 0
    assert found_by_axe(page) == []
    assert page.get_by_role("heading").first.evaluate("heading => getComputedStyle(heading).direction") == "rtl"

    page.get_by_label("كم صندوقًا").press("3")
    page.get_by_label("Comment").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert "Submitted by" in page.get_by_role("status").inner_text()
    assert stage.resume_data(execution)["body"] == {"a.b": 3, "two words": None, "children": []}
    assert _overflow(page, look) == 0


HOSTILE_HTML = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    f"<img src=data:image/png;base64,{PNG} onload=\"document.title='owned'\">",
    "<img srcset='https://example.org/a 2x' src='//example.org/b'>",
    "<svg><script>document.title='owned'</script><image href='https://example.org/c'/></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=\"document.title='owned'\">",
    "<noscript><p title=\"</noscript><img src=x onerror=document.title='owned'>\">",
    "<style>@import 'https://example.org/d'; body { background: url(https://example.org/e) }</style>",
    '<p style="background: url(https://example.org/f); position: fixed; inset: 0">over all</p>',
    "<link rel=stylesheet href=https://example.org/g><base href=https://example.org/>",
    "<meta http-equiv=refresh content='0; url=https://example.org/h'>",
    "<iframe src=https://example.org/i srcdoc='<script>top.document.title=1</script>'></iframe>",
    "<object data=https://example.org/j></object><embed src=https://example.org/k>",
    "<video src=https://example.org/l poster=https://example.org/m autoplay></video><audio src=https://example.org/n>",
    "</div></section></main><form action=https://example.org/o><input name=decision value=resume autofocus></form>",
    "<button form=x formaction=https://example.org/p>Approve</button>",
    "<details open ontoggle=\"document.title='owned'\">x</details>",
    "<a href=\"javascript:document.title='owned'\" ping=https://example.org/q>press here</a>",
    "<body onload=\"document.title='owned'\"><input onfocus=\"document.title='owned'\" autofocus>",
)
HOSTILE = (
    *(shown(html=f"<p>kept {n}</p>{html}") for n, html in enumerate(HOSTILE_HTML)),
    shown(
        svg="<svg xmlns='http://www.w3.org/2000/svg' onload=\"document.title='owned'\"><script>document.title='owned'"
        "</script><image href='https://example.org/r'/><foreignObject><iframe src='https://example.org/s'/>"
        "</foreignObject></svg>"
    ),
    shown(
        **{"text/markdown": "![x](https://example.org/t) [press](javascript:alert(1)) <img src=https://example.org/u>"}
    ),
    shown(**{"text/latex": "$\\href{javascript:alert(1)}{x}\\includegraphics{https://example.org/v}$"}),
    shown(**{"application/javascript": "document.title='owned'", "plain": "<Javascript object>"}),
    {"output_type": "stream", "name": "stdout", "text": "</pre><script>document.title='owned'</script>"},
)


def test_hostile_outputs_run_nothing_ask_nobody_and_add_no_button(
    open_page: "Callable[..., Page]", stage: "Stage", base: str
) -> None:
    """With JavaScript on: nothing but what we serve is asked for, the whole time."""
    execution = stage.begun(document=with_outputs(*HOSTILE))
    stage.suspend(execution, **ASKED)
    page = open_page("about:blank")
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.on("dialog", lambda dialog: asked_for.append(dialog.message))

    page.goto(f"{base}/{stage.link('approve', execution)}")
    page.get_by_text("press here").click()
    page.wait_for_load_state("networkidle")

    picture(page, "hostile")
    assert [url for url in asked_for if not url.startswith((base, "data:"))] == []
    assert page.title() == ASKED["title"]
    for n in range(len(HOSTILE_HTML)):
        assert page.get_by_text(f"kept {n}", exact=True).is_visible()
    assert page.locator(".evidence").locator("form, input, button, iframe, svg, style, script, [style]").count() == 0
    assert [button.inner_text() for button in page.get_by_role("button").all()] == ["Approve", "Cancel the run"]
    assert page.locator("form").count() == 1
