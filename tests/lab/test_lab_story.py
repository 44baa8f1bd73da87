"""The whole road as a person sees it, kept as the moving picture of the README: `tests/screenshots/story.gif`."""

import io
import json
import time
from typing import Any
from urllib.request import Request, urlopen

import pytest
from lab.conftest import SCREENSHOTS, TOKEN, Lab
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

LONG = 40_000
SIZE = (1100, 700)
PHONE = {"width": 360, "height": 690}

CELLS = (
    "from pauseflow_nb import flow, steps\nsales = {'north': 3120, 'south': 2874, 'west': 3055}",
    "%%step approve\nflow.suspend('7d', title='Publish the sales?', data=sales)",
    "%%step publish\nprint('published', sum(sales.values()), '·', steps.approve.data.get('comment'))",
)


class Story:
    """Pictures, each with the time for which it stays."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bytes | None, int]] = []

    def add(self, page: Any, milliseconds: int, *, phone: Any = None) -> None:
        self.frames.append((page.screenshot(), None if phone is None else phone.screenshot(), milliseconds))

    def save(self, name: str) -> None:
        image = pytest.importorskip("PIL.Image")
        pictures = []
        for wide, phone, _ in self.frames:
            picture = image.open(io.BytesIO(wide)).convert("RGB")
            if phone is not None:
                # The person who is asked is elsewhere, and has a phone.
                picture = image.blend(picture, image.new("RGB", picture.size, "black"), 0.6)
                held = image.open(io.BytesIO(phone)).convert("RGB")
                picture.paste(held, ((SIZE[0] - held.width) // 2, (SIZE[1] - held.height) // 2))
            pictures.append(picture.quantize(128, dither=image.Dither.NONE))
        SCREENSHOTS.mkdir(exist_ok=True)
        durations = [duration for _, _, duration in self.frames]
        first, *others = pictures
        first.save(SCREENSHOTS / name, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


def approval_link(lab: Lab) -> str:
    request = Request(f"{lab.url}/pauseflow/api/executions", headers={"Authorization": f"token {TOKEN}"})
    with urlopen(request, timeout=30) as answer:
        listed = json.load(answer)["executions"]
    (execution,) = (each for each in listed if str(each["notebook"]).endswith("sales.ipynb"))
    return str(execution["suspended"][0]["approval_url"])


@pytest.mark.slow  # its parts are tested one by one
def test_a_notebook_waits_for_somebody_with_a_phone_and_goes_on(whole_lab: Lab, page: Any, second_page: Any) -> None:
    story = Story()
    page.set_viewport_size(dict(zip(("width", "height"), SIZE, strict=True)))
    second_page.set_viewport_size(PHONE)
    whole_lab.notebook("sales.ipynb", *CELLS)
    workflows = Workflows(page).open(whole_lab, "sales.ipynb")
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    expect(page.locator(".jp-NotebookPanel:visible .pf-badge")).to_have_text(["approve", "publish"], timeout=LONG)
    story.add(page, 2500)

    workflows.run_open_notebook()
    card = workflows.open_card("sales.ipynb")
    expect(card.locator(".pf-state")).to_have_text("Suspended", timeout=LONG)
    card.get_by_role("button", name="Open output notebook").click()
    output = page.locator(".jp-NotebookPanel:visible")
    expect(output).to_contain_text("Publish the sales?", timeout=LONG)
    for toast in page.locator(".Toastify__toast").all():
        toast.evaluate("element => element.remove()")
    story.add(page, 3000)

    second_page.goto(approval_link(whole_lab))
    story.add(page, 2500, phone=second_page)
    second_page.get_by_role("textbox", name="Comment").fill("go ahead")
    story.add(page, 1500, phone=second_page)
    second_page.get_by_role("button", name="Approve").click()
    expect(second_page.locator("main, body").first).to_contain_text("Approved")
    story.add(page, 2000, phone=second_page)

    expect(output).to_contain_text("published 9049 · go ahead", timeout=LONG)
    expect(card.locator(".pf-state")).to_have_text("Completed", timeout=LONG)
    story.add(page, 4000)
    story.save("story.gif")
    assert (SCREENSHOTS / "story.gif").stat().st_mtime > time.time() - 60
