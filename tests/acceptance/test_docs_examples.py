"""The examples of the docs, answered by a person in Chromium: through the buttons of the page, with nothing typed and with a comment."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import nbformat
import pytest
from docs_examples import BEFORE, FIRST, README, TUTORIAL, blocks, read_blocks
from evidence import watch
from roads.mail import mail_server

if TYPE_CHECKING:
    from acceptance.command import Ended, Pauseflow, Running

pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("Chromium draws and loads in its own time")]

SCREENSHOTS = Path(__file__).parent.parent / "screenshots"

#: Opens the page at a link, takes a picture of it if that has a name, types into inputs by their name, and presses a button; gives the text of the page that follows.
Press: TypeAlias = Callable[..., str]


@pytest.fixture
def press(browser: Any, request: pytest.FixtureRequest) -> Iterator[Press]:
    page = browser.new_page(viewport={"width": 900, "height": 600})
    watch(request.node, page)

    def press_(url: str, label: str, *, picture: str = "", **typed: str) -> str:
        page.goto(url)
        if picture:
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{picture}.png", full_page=True)
        for name, text in typed.items():
            control = page.locator(f"[name='{name}']")
            if control.get_attribute("type") == "checkbox":
                control.check()
            else:
                control.fill(text)
        page.get_by_role("button", name=label, exact=True).click()
        return str(page.get_by_role("status").first.inner_text())

    yield press_
    page.close()


def start(pauseflow: "Pauseflow", *cells: str) -> "Running":
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (BEFORE, *cells)])
    path = pauseflow.folder / "example.ipynb"
    nbformat.write(notebook, path)
    output = pauseflow.folder / "out.ipynb"
    return pauseflow.start("run", path, output, "--json", output=output)


def printed(ended: "Ended") -> str:
    outputs = [output for cell in ended.notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize(("typed", "expected"), [({}, "None"), ({"comment": "looks good"}, "looks good")])
def test_the_first_example_goes_on_after_approve(
    pauseflow: "Pauseflow", press: Press, typed: dict[str, str], expected: str
) -> None:
    running = start(pauseflow, *blocks("docs/steps.md", *FIRST))

    assert "Approved by" in press(running.link("approve"), "Approve", **typed)

    ended = running.end()
    assert ended.execution["state"] == "completed"
    assert printed(ended) == f"sent [1, 2]\n{expected}\n"


@pytest.mark.thorough
def test_the_first_example_ends_after_cancel(pauseflow: "Pauseflow", press: Press) -> None:
    running = start(pauseflow, *blocks("docs/steps.md", *FIRST))

    assert "Cancelled by" in press(running.link("approve"), "Cancel the run", comment="not today")

    ended = running.end()
    assert ended.execution["state"] == "cancelled"
    assert "sent" not in printed(ended)


@pytest.mark.thorough
def test_the_example_of_a_schema_gets_an_instance(pauseflow: "Pauseflow", press: Press) -> None:
    cells = [
        FIRST[0],
        *blocks("docs/questions.md", "class Decision", '%%step ask\nflow.suspend("7d", schema', "%%step order"),
    ]
    running = start(pauseflow, *cells, "print(steps.ask.data)")

    press(running.link("approve"), "Submit", **{"answer/approved": "on", "answer/amount": "5"})

    assert printed(running.end()) == "approved=True amount=5\n"


@pytest.mark.thorough
def test_the_example_that_asks_again_ends_when_it_has_its_answer(pauseflow: "Pauseflow", press: Press) -> None:
    running = start(pauseflow, FIRST[0], *blocks("docs/reference/flow.md", "%%step confirm"), "print('done')")
    first = running.link("approve")

    assert "the run continues" in press(first, "Submit")
    second = next_link(running, first)
    press(second, "Submit", **{"answer/value": "on"})

    assert printed(running.end()) == "done\n"


@pytest.mark.thorough
def test_the_example_of_sending_back_gets_the_comment_and_asks_again(pauseflow: "Pauseflow", press: Press) -> None:
    running = start(pauseflow, FIRST[0], *blocks("docs/questions.md", "%%step draft"), "print(report)")
    first = running.link("approve")

    assert "Sent back with “Rework” by" in press(first, "Rework", comment="name the axis")
    press(next_link(running, first), "Approve")

    assert printed(running.end()) == "the report, changed because of: name the axis\n"


@pytest.mark.thorough
def test_the_example_of_a_pause_goes_on_in_its_line(pauseflow: "Pauseflow", press: Press) -> None:
    running = start(
        pauseflow, FIRST[0], *blocks("docs/reference/flow.md", "%%step order\namount = flow.pause"), "print(amount)"
    )

    assert "Submitted by" in press(running.link("approve"), "Submit", **{"answer/value": "3"})

    assert printed(running.end()) == "3\n"


@pytest.mark.thorough
def test_the_example_of_a_fresh_cell_goes_on_with_its_value(pauseflow: "Pauseflow", press: Press) -> None:
    prices = "fetch_price = {'ACME': 100.0}.get\ndef place_order(name, count, *, limit): print(name, count, limit)"
    cells = blocks("docs/fresh.md", "%%fresh price", "%%step ask", "%%step order")
    running = start(pauseflow, "from pauseflow_nb import flow", prices, *cells)

    press(running.link("approve"), "Approve")

    assert printed(running.end()) == "ACME 50 100.0\n"


def next_link(running: "Running", before: str) -> str:
    """Wait for a link that was not printed before."""
    from acceptance.web import wait_until

    def found() -> str | None:
        links = re.findall(r"http\S+/pauseflow/approve/\S+", running.stderr)
        return links[-1] if links and links[-1] != before else None

    return str(wait_until(found, "the next link"))


@pytest.mark.thorough
@pytest.mark.parametrize(("typed", "expected"), [({}, "{}"), ({"comment": "go on"}, "{'comment': 'go on'}")])
def test_the_example_of_the_readme_prints_what_was_typed(
    pauseflow: "Pauseflow", press: Press, typed: dict[str, str], expected: str
) -> None:
    cells = blocks("README.md", *README)
    running = start(pauseflow, *cells)

    press(running.link("approve"), "Approve", **typed)

    assert printed(running.end()).startswith(f"{expected} and the numbers are still here:")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["approve_model", "approve_by_link", "custom_timeout", "handler_style"])
def test_an_example_notebook_completes_after_approve_with_nothing_typed(
    pauseflow: "Pauseflow", press: Press, name: str
) -> None:
    running = pauseflow.start_example(name)

    press(running.link("approve"), "Approve", picture=f"page-of-{name}")

    assert running.end().execution["state"] == "completed"


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # aiosmtpd and apprise still use what newer Pythons will not have
@pytest.mark.parametrize("page", ["docs/how-to/email.md", "docs/reference/flow.md"])
def test_a_person_opens_the_link_of_the_mail_and_answers(pauseflow: "Pauseflow", press: Press, page: str) -> None:
    (ask,) = (block.code for block in read_blocks(page) if block.is_cell and "flow.send.email" in block.code)
    with mail_server() as box:
        pauseflow.environment |= {f"PAUSEFLOW_{name.upper()}": str(value) for name, value in box.settings.items()}
        pauseflow.environment["PAUSEFLOW_NOTIFY"] = (
            f'{{"team": "mailto://127.0.0.1:{box.port}?from=flows@example.org&to=team@example.org"}}'
        )
        running = start(pauseflow, FIRST[0], ask, "print('sent:', steps.ask.data)")
        running.link("approve")  # the step has ended
        links = {
            re.findall(r"http\S+/pauseflow/approve/[\w.-]+", box.texts(number))[0] for number in range(len(box.mails))
        }
        acting = [mail for mail in box.mails if re.search(r"/pauseflow/(?:resume|cancel)/", mail.as_string())]

        assert "Approved by" in press(links.pop(), "Approve", picture="page-of-mail", comment="send it")
        assert printed(running.end()) == "sent: {'comment': 'send it'}\n"
        assert (links, acting) == (set(), [])


ITEMS = "items = [{'price': 19.5, 'count': 2}, {'price': 3, 'count': 1}]"


@pytest.mark.thorough
def test_the_notebook_beside_mastras_workflow_ships_when_approved(pauseflow: "Pauseflow", press: Press) -> None:
    names = ("from pydantic import BaseModel", "%%step total", "%%step ask\nclass Decision", "%%step ship")
    running = start(pauseflow, ITEMS, *blocks("docs/mastra.md", *names))

    press(running.link("approve"), "Submit", **{"answer/approved": "on"})

    assert printed(running.end()) == "shipped for 42.0\n"


def test_the_notebook_beside_prefects_flow_gets_an_instance(pauseflow: "Pauseflow", press: Press) -> None:
    cells = [
        *blocks("docs/mastra.md", "%%step total"),
        *blocks("docs/prefect.md", "%%step ask\nfrom pauseflow_nb import RunInput"),
    ]
    running = start(pauseflow, ITEMS, *cells, "print(decision.approved)")

    press(running.link("approve"), "Submit", **{"answer/approved": "on"})

    assert printed(running.end()) == "True\n"


def test_the_tutorial_is_approved_on_its_page(pauseflow: "Pauseflow", press: Press) -> None:
    running = start(pauseflow, *blocks("docs/tutorial.md", *TUTORIAL))

    press(running.link("approve"), "Approve", picture="page-of-tutorial", comment="looks right")

    assert printed(running.end()).endswith("published; looks right\n")


def test_the_tutorial_waits_goes_on_by_command_and_can_be_verified(pauseflow: "Pauseflow") -> None:
    *cells, publish = blocks("docs/tutorial.md", *TUTORIAL)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (*cells, f"{publish}\n1 / 0")]
    )
    nbformat.write(notebook, pauseflow.folder / "report.ipynb")
    waits = pauseflow("run", "report.ipynb", "report-done.ipynb", "--until-pause", "--json").execution
    answer = '{"comment": "looks right"}'

    assert pauseflow("resume", waits["id"][:6], "--data", answer, "--wait").code == 1

    notebook.cells[-1].source = publish
    nbformat.write(notebook, pauseflow.folder / "report.ipynb")
    assert pauseflow("retry", waits["id"][:6], "--with", "report.ipynb").code == 0
    done = nbformat.read(pauseflow.folder / "report-done.ipynb", as_version=4)
    assert "published; looks right" in done.cells[-1].outputs[0].text
    assert pauseflow("verify", "report-done.ipynb").code == 0
