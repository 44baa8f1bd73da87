"""The approval page of somebody who has signed in."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from server.conftest import BROWSER
from server.page_form import PageForm

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": BROWSER}


def path(stage: "Stage", execution: str) -> str:
    return stage.link("approve", execution).replace("pauseflow/", "pauseflow/signed-in/")


def my_name(fetch: "Fetch", stage: "Stage") -> str:
    execution = stage.suspended()
    fetch(f"pauseflow/api/executions/{execution}/resume", json={})
    return str(stage.resume_data(execution)["by"]).removeprefix("user:")


def press(fetch: "Fetch", where: str, page: PageForm, **typed: str) -> Any:
    cookies = {"Cookie": f"_xsrf={page.entries['_xsrf'][0]}"}
    body = urlencode({**page.entries, **typed, "decision": "resume"}, doseq=True)
    return fetch(where, method="POST", body=body, headers={**FORM, **cookies})


def test_the_public_page_leads_to_the_login_where_it_matters_who_answers(stage: "Stage", stranger: "Fetch") -> None:
    execution = stage.suspended(approvers=["ann"])
    public = stranger(stage.link("approve", execution), headers={"Accept": BROWSER}).body.decode()

    link = re.search(r'<a href="([^"]+)">Sign in', public)
    assert link is not None
    assert link[1] == "../signed-in/approve/" + stage.link("approve", execution).rpartition("/")[2]
    assert [button[2] for button in PageForm(public).buttons] == [True, True]
    there = stranger(path(stage, execution), headers={"Accept": BROWSER}, follow_redirects=False)
    assert there.code == 302
    assert "/login?next=" in there.headers["Location"]


def test_one_who_may_answers_under_his_name(stage: "Stage", fetch: "Fetch") -> None:
    me = my_name(fetch, stage)
    execution = stage.suspended(approvers=[me])
    page = fetch(path(stage, execution), headers={"Accept": BROWSER})

    shown = page.body.decode()
    assert f"You are signed in as <bdi>{me}</bdi>." in shown
    assert [button[2] for button in PageForm(shown).buttons] == [False, False]
    answer = press(fetch, path(stage, execution), PageForm(shown), comment="fine")

    assert answer.code == 200
    found = stage.resume_data(execution)
    assert (found["by"], found["known_by"], found["body"]) == (f"user:{me}", "login", {"comment": "fine"})
    assert "_xsrf" not in str(found)


def test_one_who_may_not_sees_why(stage: "Stage", fetch: "Fetch") -> None:
    me = my_name(fetch, stage)
    execution = stage.suspended(approvers=["ann"])
    shown = fetch(path(stage, execution), headers={"Accept": BROWSER}).body.decode()

    assert f"cannot be pressed: {me} may not answer, only ann." in shown
    assert press(fetch, path(stage, execution), PageForm(shown)).code == 403
    assert stage.queue.state(execution) == "suspended"


def test_errors_stand_in_the_form(stage: "Stage", fetch: "Fetch") -> None:
    execution = stage.suspended(schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    page = PageForm(fetch(path(stage, execution), headers={"Accept": BROWSER}).body.decode())

    answer = press(fetch, path(stage, execution), page, **{"answer/n": "1,000"})

    assert answer.code == 422
    assert "must be a whole number without separators" in answer.body.decode()


def test_an_unknown_token_is_unknown_here_too(fetch: "Fetch") -> None:
    assert fetch("pauseflow/signed-in/approve/nosuch", headers={"Accept": BROWSER}).code == 404
