"""Who acted is recorded with how it is known, and one person never counts as two."""

import subprocess
import sys
from functools import partial

import pytest
from engine.stage import Stage, at_once
from engine.test_engine_answers import approvals, say

from pauseflow_nb.identity import Who, identify_user

SUDO = Who("user:root", "account", "sudo by bob")

#: Answers as somebody, in a process of its own.
_ANSWER = """
import sys
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.identity import Who
from pauseflow_nb.settings import Settings
queue = Queue.open(Settings.load())
print("ready", flush=True)
sys.stdin.readline()
print(queue.resume(sys.argv[1], by=Who(*sys.argv[2:])).status)
"""


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (identify_user("bob"), Who("user:bob", "account")),
        (identify_user("Bob"), identify_user("bob")),
        (identify_user("bob "), identify_user("bob")),
        (identify_user("b\u200bob"), identify_user("bob")),
        (SUDO, identify_user("bob")),
        (identify_user("bob"), SUDO),
        (SUDO, Who("user:root", "account")),
        (SUDO, Who("user:root", "account", "sudo by eve")),
        ("link", "link"),
    ],
)
def test_two_approvals_of_one_person_count_as_one(stage: Stage, first: str, second: str) -> None:
    execution = stage.suspended(approvals=2)

    assert say(stage, execution, first)[0] == 202
    status, body = say(stage, execution, second)

    assert (status, body["already"]) == (200, True)
    assert [each["by"] for each in approvals(stage, execution)["given"]] == [str(first)]
    assert say(stage, execution, identify_user("ann"))[0] == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [("link", identify_user("link")), (identify_user("bob"), identify_user("user:bob")), (SUDO, "link")],
)
def test_names_that_are_words_of_ours_are_other_people(stage: Stage, first: str, second: str) -> None:
    execution = stage.suspended(approvals=2)

    assert say(stage, execution, first)[0] == 202
    assert say(stage, execution, second)[0] == 200


def test_a_bare_link_is_no_approver_of_that_name(stage: Stage) -> None:
    execution = stage.suspended(approvers=["link", "clock"])

    assert say(stage, execution, "link")[0] == 403
    assert say(stage, execution, identify_user("link"))[0] == 200


@pytest.mark.every(3)
@pytest.mark.parametrize("approver", [identify_user("bob"), identify_user("BOB"), SUDO, Who("user:root", "account")])
def test_who_started_it_through_sudo_may_not_approve_it(stage: Stage, approver: Who) -> None:
    stage.suspended(self_approval=False)  # the script of the step
    execution = stage.start("%%step first", "%%step ask", "%%step last", created_by=SUDO)
    assert stage.play(execution) == "ended"

    assert say(stage, execution, approver)[0] == 403
    assert say(stage, execution, identify_user("eve"))[0] == 200


def test_every_record_says_how_somebody_is_known(stage: Stage) -> None:
    execution = stage.suspended(approvals=3)
    for by in ("link", SUDO, identify_user("ann")):
        say(stage, execution, by)

    view = stage.queue.view(execution, history=True)
    expected = [("link", "link", None), ("user:root", "account", "sudo by bob"), ("user:ann", "login", None)]
    given = view["history"]["suspensions"][0]["approvals"]["given"]
    assert [(each["by"], each.get("known_by"), each.get("via")) for each in given] == expected
    resumed = view["steps"]["ask"]["exports"]["$resume_data"]
    assert (resumed["by"], resumed["known_by"]) == ("user:ann", "login")
    lines = [line for line in stage.queue.audit(execution) if line["what"] in ("approved", "settled")]
    assert [(line["by"], line["known_by"], line["via"]) for line in lines] == expected


def test_a_cancel_says_how_somebody_is_known(stage: Stage) -> None:
    execution = stage.suspended()
    stage.queue.cancel(execution, by=SUDO, text="wrong data")

    reason = stage.queue.view(execution)["reason"]
    assert reason == {
        "kind": "user", "by": "user:root", "text": "wrong data", "known_by": "account", "via": "sudo by bob",
    }  # fmt: skip


def test_two_at_once_are_one_person(stage: Stage) -> None:
    for _ in range(5):
        execution = stage.suspended(approvals=2)
        says = [partial(say, stage, execution, by) for by in ("user:bob", "user:Bob", SUDO)]
        answers = at_once(*says)

        assert sorted((status, body.get("already")) for status, body in answers) == [
            (200, True),
            (200, True),
            (202, None),
        ]


@pytest.mark.thorough
def test_two_processes_at_once_are_one_person(stage: Stage, environment_of_store: dict[str, str]) -> None:
    execution = stage.suspended(approvals=2)
    people = [("user:bob", "login"), ("user:Bob", "account"), ("user:root", "account", "sudo by bob")]
    running: list[subprocess.Popen[str]] = [
        subprocess.Popen(
            [sys.executable, "-c", _ANSWER, execution, *who],
            env=environment_of_store, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for who in people
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    statuses = [int(process.communicate(timeout=60)[0]) for process in running]

    assert sorted(statuses) == [200, 200, 202]
    assert len(approvals(stage, execution)["given"]) == 1
