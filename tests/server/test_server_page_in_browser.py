"""The approval page as people see it; pictures land in `tests/screenshots`."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from server.conftest import Stage

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parent.parent / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOOKS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "device_scale_factor": 2},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "without-javascript": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}
ASKED: dict[str, Any] = {
    "title": "Deploy the wine model to production?",
    "message": "The new model beats the one in use on the held-out set.\nIt goes live for all regions at once.",
    "data": {"model": "gradient boosting, 200 trees", "accuracy": 0.9722, "accuracy in use": 0.9444, "rows": 178},
    "seconds": 7 * 3600 + 1200,
}


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: "Browser") -> "Iterator[Callable[..., Page]]":
    """Open a URL with a look; whatever the page complains about fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_(url: str, look: str = "wide") -> "Page":
        contexts.append(browser.new_context(**LOOKS[look]))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page  # type: ignore[no-any-return]

    yield open_
    for context in contexts:
        context.close()
    # Chromium reports the status of a page that says 4xx as an error; that is the page's job here.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def picture(page: "Page", name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"page-{name}.png", full_page=True)


@pytest.mark.parametrize("look", LOOKS)
def test_a_person_approves_with_a_comment(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link('approve', execution)}", look)
    picture(page, f"open-{look}")
    assert _overflow(page, look) == 0

    page.get_by_label("Comment").fill('{"comment": "go ahead"}')
    page.get_by_role("button", name="Approve").click()

    verdict = page.get_by_role("status")
    assert re.search(r"Approved by someone with the link at \d+ \w+ \d{4}, \d\d:\d\d UTC", verdict.inner_text())
    picture(page, f"approved-{look}")
    assert stage.resume_data(execution)["body"] == {"comment": "go ahead"}
    page.goto(page.url)
    assert "Approved by" in page.get_by_role("status").inner_text()
    assert page.get_by_role("button").count() == 0


def _overflow(page: "Page", look: str) -> int:
    if look == "without-javascript":
        return 0
    found: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found


def test_a_person_cancels_with_the_keyboard(open_page: "Callable[..., Page]", stage: "Stage", base: str) -> None:
    execution = stage.suspended(title="Send 4,000 mails?")
    page = open_page(f"{base}/{stage.link('approve', execution)}")
    for _ in range(3):
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
    page.get_by_label("Comment").fill('{"comment": go}')
    page.get_by_role("button", name="Approve").click()

    assert "is not JSON" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Comment").input_value() == '{"comment": go}'
    picture(page, "refused")
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize(
    ("action", "button", "state"), [("resume", "Approve", "queued"), ("cancel", "Cancel", "cancelled")]
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

    page.get_by_role("button", name="Cancel").click()

    said = " ".join(found.inner_text() for found in page.get_by_role("status").all())
    assert "The other decision came first" in said
    assert "Approved by ada" in said
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


def test_unknown_and_over_have_calm_pages(open_page: "Callable[..., Page]", stage: "Stage", base: str) -> None:
    execution = stage.suspended(**ASKED)
    stage.queue.cancel(execution, by="user:ada")

    unknown = open_page(f"{base}/pauseflow/approve/nosuch", "phone")
    over = open_page(f"{base}/{stage.link('approve', execution)}")

    assert unknown.get_by_role("heading").inner_text() == "This link is unknown"
    assert "This is over" in over.get_by_role("status").inner_text()
    picture(unknown, "unknown")
    picture(over, "over")


@pytest.mark.parametrize("look", ["wide", "dark"])
def test_contrast_is_enough_for_everybody(
    open_page: "Callable[..., Page]", stage: "Stage", base: str, look: str
) -> None:
    execution = stage.suspended(**ASKED)
    page = open_page(f"{base}/{stage.link('approve', execution)}", look)

    ratios = page.evaluate(_CONTRASTS)

    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


# WCAG's contrast of each text against the nearest background that is not transparent.
_CONTRASTS = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const e of document.querySelectorAll('h1, p, dt, dd, label, span, textarea, button, footer')) {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    found[`${e.tagName}.${e.className}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""
