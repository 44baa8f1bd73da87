"""Links that were revoked, or whose key was withdrawn: 410 with a sentence, and nothing of the question."""

from json import loads
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from server.conftest import Send, Stage

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SENTENCE = "this link was withdrawn; ask for a new one"


def withdraw(stage: "Stage", execution: str, how: str) -> None:
    if how == "revoked":
        stage.queue.revoke(execution, by="user:ann")
    else:
        stage.queue.rotate_keys(by="user:ann", withdraw=True)


@pytest.mark.parametrize("how", ["revoked", "withdrawn"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize("action", ["resume", "cancel", "approve"])
def test_a_request_to_it_is_told_so_and_changes_nothing(
    send: "Send", stage: "Stage", base: str, how: str, method: str, action: str
) -> None:
    execution = stage.suspended(title="Deploy the model?")
    link = stage.link(action, execution)
    withdraw(stage, execution, how)

    answer = send(method, f"{base}/{link}", headers={"User-Agent": "curl/8", "Accept": "*/*"})

    assert answer.code == 410
    if method != "HEAD":
        assert loads(answer.body) == {"error": SENTENCE}
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize("how", ["revoked", "withdrawn"])
def test_a_browser_gets_a_page_that_says_so_and_shows_no_question(
    send: "Send", stage: "Stage", base: str, how: str
) -> None:
    execution = stage.suspended(title="Deploy the model?")
    link = stage.link("approve", execution)
    withdraw(stage, execution, how)

    page = send("GET", f"{base}/{link}", headers=BROWSER)

    assert page.code == 410
    assert SENTENCE[1:] in page.body.decode()
    assert "Deploy" not in page.body.decode()


def test_a_new_link_acts_in_a_server_that_was_running_all_the_time(send: "Send", stage: "Stage", base: str) -> None:
    execution = stage.suspended()
    stage.queue.rotate_keys(by="user:ann")
    first = stage.queue.view(execution)["suspended"][0]["resume_url"].rpartition("/pauseflow/")[2]
    stage.queue.rotate_keys(by="user:ann", withdraw=True)
    stage.queue.revoke(execution, by="user:ann")
    second = stage.queue.view(execution)["suspended"][0]["resume_url"].rpartition("/pauseflow/")[2]

    codes = [send("POST", f"{base}/pauseflow/{path}", body=b"").code for path in (first, second)]

    assert codes == [410, 200]


def test_a_link_of_an_execution_that_is_gone_is_unknown(send: "Send", stage: "Stage", base: str) -> None:
    """A withdrawn key's link says so without looking whether there is such an execution: no oracle."""
    stage.suspended()
    links = [stage.link("resume", "0123456789ab")]
    before = send("POST", f"{base}/{links[0]}", body=b"").code
    stage.queue.rotate_keys(by="user:ann", withdraw=True)
    after = send("POST", f"{base}/{links[0]}", body=b"").code

    assert (before, after) == (404, 410)
