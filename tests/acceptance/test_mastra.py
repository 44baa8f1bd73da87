"""What Mastra's page "Suspend & resume" says, one test for each sentence, here.

More of nested workflows in `tests/roads/test_nested.py`. What differs on purpose stands in docs/mastra.md.
"""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from acceptance.command import Pauseflow
from acceptance.road import Road
from acceptance.test_command_line import ASK, IMPORT, notebook
from roads.rider import returned

from pauseflow_nb.errors import InvalidAnswer
from pauseflow_nb.execution import get_execution

pytestmark = pytest.mark.acceptance

#: Mastra's first example: it suspends until it is approved.
CONDITIONAL = """%%step step_1
from pydantic import BaseModel

class Resume(BaseModel):
    approved: bool = False

if flow.data is None or not flow.data.approved:
    flow.suspend(then="rerun", schema=Resume, data={"user": flow.inputs.user_email, "run": flow.context.run.runs})
    output = None
else:
    output = f"Email sent to {flow.inputs.user_email}"
output
"""


def conditional(road: Road) -> dict[str, Any]:
    return road.run(CONDITIONAL, "%%step last\nflow.export('seen', steps.step_1['$return_value'])", user_email="alex@x")


class TestSuspend:
    def test_a_suspended_run_saves_its_state_and_if_the_condition_is_met_it_continues(self, road: Road) -> None:
        view = conditional(road)
        assert view["state"] == "suspended"

        ended = road.answer(view["id"], {"approved": True}, step="step_1")

        assert ended["state"] == "completed"
        assert returned(ended, "step_1") == "Email sent to alex@x"
        assert ended["steps"]["last"]["exports"]["seen"] == "Email sent to alex@x"

    def test_if_the_condition_is_not_met_it_suspends_again_and_again(self, road: Road) -> None:
        view = conditional(road)
        for run in (2, 3):
            view = road.answer(view["id"], {"approved": False})
            assert view["state"] == "suspended"
            assert view["suspended"][0]["data"] == {"user": "alex@x", "run": run}

        assert road.answer(view["id"], {"approved": True})["steps"]["step_1"]["runs"] == 4

    def test_the_data_of_a_steps_earlier_runs_stays_in_the_history(self, road: Road) -> None:
        view = conditional(road)
        road.answer(road.answer(view["id"], {"approved": False})["id"], {"approved": True})

        runs = [run for run in road.view(view, history=True)["history"]["runs"] if run["step"] == "step_1"]
        assert [run["exports"]["$resume_data"]["body"] for run in runs] == [
            {"approved": False},
            {"approved": True},
            {"approved": True},
        ]
        assert [run["exports"].get("$suspend_data", {}).get("run") for run in runs] == [1, 2, 2]


class TestResumeSchema:
    def test_resume_data_must_match_the_steps_resume_schema(self, road: Road) -> None:
        view = conditional(road)

        with pytest.raises(InvalidAnswer, match="approved must be true or false"):
            road.execution(view).resume("step_1", {"approved": "perhaps"})
        status, answer = road.send(view, body={"approved": "perhaps"})

        assert (status, answer["state"]) == (422, "suspended")
        assert answer["errors"] == [{"path": ["approved"], "message": "must be true or false"}]
        assert road.view(view)["usage"]["wakeups"] == 0

    def test_the_notebook_gets_an_instance_whose_class_is_its_own(self, road: Road) -> None:
        view = road.run(
            "from dataclasses import dataclass\n@dataclass\nclass Order:\n    what: str\n    many: int = 1",
            "%%step ask\nflow.suspend(schema=Order)",
            "%%step take\nassert isinstance(steps.ask.data, Order)\nkept = steps.ask.data\nflow.suspend()",
            "%%step last\nsteps.ask.data is kept, kept == Order('tea', 2), type(kept) is Order",
        )
        road.send(view, body={"what": "tea", "many": 2})
        view = road.ride(view["id"])
        road.send(view)

        assert returned(road.ride(view["id"]), "last") == [True, True, True]

    def test_what_only_its_own_validators_know_opens_the_question_again(self, road: Road) -> None:
        view = road.run(
            "from pydantic import BaseModel, field_validator\n"
            "class Amount(BaseModel):\n    n: int\n"
            "    @field_validator('n')\n    @classmethod\n    def even(cls, n):\n"
            "        if n % 2: raise ValueError('must be even')\n        return n",
            "%%step ask\nflow.suspend('2h', schema=Amount, title='How many?')",
            "%%step last\nsteps.ask.data.n",
        )
        asked = view["suspended"][0]
        assert road.send(view, body={"n": 3})[0] == 200
        view = road.ride(view["id"])

        (again,) = view["suspended"]
        assert view["state"] == "suspended"
        assert again["errors"] == [{"path": ["n"], "message": "must be even"}]
        assert (again["deadline"], again["resume_url"]) == (asked["deadline"], asked["resume_url"])
        shown = json.dumps([cell.get("outputs") for cell in road.output().cells])
        assert "How many?" in shown
        assert "The answer was refused: n must be even." in shown

        assert road.send(view, body={"n": 4})[0] == 200
        assert returned(road.ride(view["id"]), "last") == 4
        shown = json.dumps([cell.get("outputs") for cell in road.output().cells])
        assert "An earlier answer was refused: n must be even." in shown
        assert shown.index("An earlier answer was refused") < shown.index("Submitted by someone with the link at ")


class TestResume:
    def test_the_step_may_be_left_out_if_only_one_is_suspended(self, road: Road) -> None:
        view = conditional(road)

        assert road.answer(view["id"], {"approved": True})["state"] == "completed"

    @pytest.mark.thorough
    @pytest.mark.new_process
    def test_with_only_an_id_from_another_process(self, pauseflow: Pauseflow) -> None:
        """The state is stored: the process that suspended is gone, and another one resumes by id."""
        source = notebook(pauseflow.folder, IMPORT, "trees = [1, 2]", ASK, "%%step last\ntrees")
        first = pauseflow("run", source, "out.ipynb", "--until-pause", "--json")
        assert (first.code, first.execution["state"]) == (75, "suspended")

        resumed = pauseflow("resume", first.execution["id"], "--data", '{"comment": "go"}', "--wait", "--json")

        assert (resumed.code, resumed.execution["state"]) == (0, "completed")
        assert resumed.exports("ask")["$resume_data"]["body"] == {"comment": "go"}
        assert resumed.exports("last")["$return_value"] == [1, 2]

    def test_from_an_http_handler(self, road: Road) -> None:
        view = conditional(road)

        assert road.send(view, body={"approved": True})[0] == 200
        assert road.ride(view["id"])["state"] == "completed"

    def test_from_a_timer_or_an_event_handler(self, road: Road) -> None:
        view = conditional(road)
        timer = threading.Timer(0.2, road.execution(view).resume, ["step_1", {"approved": True}])
        timer.start()

        assert road.ride(view["id"], until_pause=False)["state"] == "completed"
        timer.join()

    def test_sequential_suspensions_read_only_their_own_answer(self, road: Road) -> None:
        ask = "%%step {0}\nflow.suspend(data='{0}')"
        view = road.run(
            ask.format("one"),
            "%%step between\nhasattr(steps, 'two'), steps.one.data",
            ask.format("two"),
            "%%step last\nsteps.one.data, steps.two.data",
        )
        view = road.answer(view["id"], "first")
        ended = road.answer(view["id"], "second")

        assert returned(ended, "between") == [False, "first"]
        assert returned(ended, "last") == ["first", "second"]


class TestSuspendData:
    def test_it_holds_exactly_what_was_passed_to_suspend(self, road: Road) -> None:
        given = {"reason": "User approval required", "details": ["Request 7", {"ä": None}]}
        view = road.run(
            f"%%step ask\nrun = flow.context.run\nif 'callback_request' not in run:\n"
            f"    flow.suspend(then='rerun', data={given!r})\nrun.suspend_data",
            "%%step last\nsteps.ask['$suspend_data']",
        )
        assert view["suspended"][0]["data"] == given

        ended = road.answer(view["id"])

        assert (returned(ended, "ask"), returned(ended, "last")) == (given, given)


class TestIdentifying:
    def test_state_and_suspended_tell_which_step_waits_and_can_be_passed_to_resume(self, road: Road) -> None:
        view = conditional(road)

        assert view["state"] == "suspended"
        path = view["suspended"][0]["path"]
        assert path == ["step_1"]
        road.execution(view).resume(path[-1], {"approved": True})
        assert road.ride(view["id"])["state"] == "completed"

    def test_suspended_leads_to_what_a_nested_notebook_waits_for(self, road: Road) -> None:
        road.notebook(CONDITIONAL, name="nested_workflow.ipynb")
        view = road.run(
            "%%step outer\nflow.run_notebook('nested_workflow.ipynb', {'user_email': 'alex@x'})",
            "%%step last\nsteps.outer.nested_workflow.step_1['$return_value']",
        )
        assert [(each["path"], each["address"]) for each in view["suspended"]] == [
            (["outer"], "outer"),
            (["outer", "step_1"], "nested_workflow.step_1"),
        ]

        road.execution(view).resume(view["suspended"][0], {"approved": True})
        assert returned(road.ride(view["id"]), "last") == "Email sent to alex@x"

    def test_what_happens_can_be_followed_as_events(self, road: Road) -> None:
        view = conditional(road)
        came: list[dict[str, Any]] = []
        follower = threading.Thread(target=lambda: came.extend(road.execution(view).stream()))
        follower.start()
        road.send(view, body={"approved": "so"})
        road.answer(view["id"], {"approved": True})
        follower.join()

        events = road.execution(view).events()
        assert came == events
        whats = [event["what"] for event in events if event["what"] not in ("running", "attached", "detached")]
        assert whats[-4:] == ["suspended", "refused", "settled", "completed"]
        assert [event["at"] for event in events] == sorted(event["at"] for event in events)


class TestSleep:
    def test_sleep_sets_the_state_to_waiting(self, road: Road) -> None:
        view = road.run("x = 1", "%%step nap\nflow.sleep('300ms')\nx += 1", "%%step last\nx")
        assert (view["state"], view["suspended"][0]["kind"]) == ("waiting", "delay")

        ended = road.ride(view["id"], until_pause=False)

        assert (ended["state"], returned(ended, "last")) == ("completed", 2)
        assert ended["usage"]["suspended_seconds"] >= 0.3

    def test_sleep_until_a_date(self, road: Road) -> None:
        before = datetime.now(UTC)
        view = road.run(
            "%%step nap\nfrom datetime import datetime, timedelta, UTC\n"
            "flow.sleep_until(datetime.now(UTC) + timedelta(hours=5))",
            "%%step last\n1",
        )
        deadline = datetime.fromisoformat(view["suspended"][0]["deadline"])
        assert 5 * 3600 - 1 <= (deadline - before).total_seconds() <= 5 * 3600 + 60

        road.let_time_pass(view, hours=6)
        assert road.ride(view["id"], until_pause=False)["state"] == "completed"

    def test_a_suspend_in_a_step_is_suspended_and_not_waiting(self, road: Road) -> None:
        assert road.run("%%step ask\nflow.suspend()")["state"] == "suspended"


def test_a_run_can_be_found_again_by_its_id_and_is_the_same(road: Road) -> None:
    view = conditional(road)
    found = get_execution(view["id"], settings=road.queue.settings)

    assert (found.state, found.suspended[0]["step"]) == ("suspended", "step_1")
