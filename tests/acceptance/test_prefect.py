"""What Prefect's page "Pause and resume flow runs" says, one test for each sentence, here.

A flow is a notebook, a task a step, a flow run an execution. What differs on purpose stands in docs/prefect.md.
"""

import json
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest
from acceptance.processes import is_alive
from acceptance.road import Road
from acceptance.web import send, wait_until
from roads.acts import answer, ride
from roads.rider import LOG, returned

from pauseflow_nb.engine.clock import Clock

pytestmark = pytest.mark.acceptance

NAMES = "from pauseflow_nb import RunInput, pause_flow_run, resume_flow_run, suspend_flow_run"
USER = "class UserNameInput(RunInput):\n    name: str"
PID = "import os, pathlib\npathlib.Path('pid').write_text(str(os.getpid()))"


def span_of(waits: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(waits["deadline"]) - datetime.fromisoformat(waits["since"])


def environment_of(road: Road) -> dict[str, str]:
    return {**os.environ, "PAUSEFLOW_DATA_DIR": str(road.queue.settings.data_dir)}


class TestPause:
    def test_code_execution_is_stopped_and_the_process_continues_to_run(self, road: Road) -> None:
        execution = road.start(
            NAMES, LOG, f"%%step marvin\nlog('one')\n{PID}\npause_flow_run()\nlog('two')\nos.getpid()"
        )

        def act(view: dict[str, Any]) -> None:
            assert (view["state"], road.log()) == ("paused", ["one"])
            assert is_alive(int((road.folder / "pid").read_text()))
            answer(road)(view)

        view = ride(road, execution, act)

        assert returned(view, "marvin") == int((road.folder / "pid").read_text())
        assert road.log() == ["one", "two"]

    def test_it_blocks_after_the_first_task_and_resumption_delivers_the_punchline(self, road: Road) -> None:
        first = "%%step marvin_setup\nlog('setup')\n'a raven walks into a bar...'"
        last = "%%step marvin_punchline\npause_flow_run(timeout=600)\nlog('punchline')\n\"it's a wonder 24x7\""
        view = ride(road, road.start(NAMES, LOG, first, last), answer(road))

        assert road.log() == ["setup", "punchline"]
        assert returned(view, "marvin_punchline") == "it's a wonder 24x7"

    def test_paused_runs_time_out_after_one_hour_by_default(self, road: Road) -> None:
        spans: list[timedelta] = []

        def act(view: dict[str, Any]) -> None:
            spans.append(span_of(view["suspended"][0]))
            answer(road)(view)

        ride(road, road.start(NAMES, "%%step a\npause_flow_run()\nflow.pause()"), act, act)

        assert spans == [timedelta(hours=1), timedelta(hours=1)]

    def test_after_the_timeout_it_fails_saying_that_it_paused_and_never_resumed(self, road: Road) -> None:
        view = road.run(NAMES, "%%step a\npause_flow_run(timeout=0.2)", "%%step b\n1")

        assert (view["state"], view["error"]["type"]) == ("failed", "PauseTimeout")
        assert "paused and never resumed" in view["error"]["message"]
        assert "b" not in view["steps"]

    def test_pauses_can_be_conditional(self, road: Road) -> None:
        step = "%%step a\nif flow.inputs.size > 10:\n    pause_flow_run()\n'done'"
        small = road.run(NAMES, step, size=1)
        assert (small["state"], small["usage"]["suspended_seconds"]) == ("completed", 0)

        assert ride(road, road.start(NAMES, step, size=11), answer(road))["usage"]["suspended_seconds"] > 0

    def test_a_pause_with_a_key_that_was_answered_returns_at_once(self, road: Road) -> None:
        step = "%%step a\n[pause_flow_run(int, key='size') for _ in range(3)]"

        assert returned(ride(road, road.start(NAMES, step), answer(road, {"value": 4})), "a") == [4, 4, 4]


class TestResume:
    def test_from_the_approval_page(self, road: Road) -> None:
        def act(view: dict[str, Any]) -> None:
            url = view["suspended"][0]["approval_url"]
            with urlopen(Request(url, headers={"Accept": "text/html"})) as page:
                text = page.read().decode()
            assert "Shall we?" in text
            road.send(road.queue.view(view["id"]), "resume", {})

        execution = road.start("%%step a\nflow.pause('5m', title='Shall we?')\n'on'")
        assert returned(ride(road, execution, act), "a") == "on"

    @pytest.mark.thorough
    def test_from_client_code(self, road: Road) -> None:
        def act(view: dict[str, Any]) -> None:
            program = f"from pauseflow_nb import resume_flow_run; resume_flow_run({view['id']!r}, run_input={{'x': 1}})"
            subprocess.run([sys.executable, "-c", program], env=environment_of(road), check=True, timeout=60)

        assert returned(ride(road, road.start("%%step a\nflow.pause()"), act), "a") == {"x": 1}

    def test_from_the_command_line(self, road: Road) -> None:
        def act(view: dict[str, Any]) -> None:
            words = [sys.executable, "-m", "pauseflow_nb", "resume", view["id"], "--data", '{"x": 2}']
            subprocess.run(words, env=environment_of(road), check=True, timeout=60, capture_output=True)

        assert returned(ride(road, road.start("%%step a\nflow.pause()"), act), "a") == {"x": 2}


class TestSuspend:
    def test_the_process_is_stopped_too(self, road: Road) -> None:
        view = road.run(NAMES, f"%%step a\n{PID}\nsuspend_flow_run()\nos.getpid()")
        pid = int((road.folder / "pid").read_text())

        assert view["state"] == "suspended"
        assert not is_alive(pid)
        assert returned(road.answer(view["id"]), "a") != pid

    def test_it_suspends_immediately_and_the_step_runs_again_from_its_beginning(self, road: Road) -> None:
        view = road.run(NAMES, LOG, "%%step a\nlog('begin')\nsuspend_flow_run()\nlog('end')")
        assert (view["state"], road.log()) == ("suspended", ["begin"])

        view = road.answer(view["id"])
        assert (view["state"], road.log()) == ("completed", ["begin", "begin", "end"])

    def test_finished_tasks_are_not_computed_again(self, road: Road) -> None:
        first = "%%step foo\nlog('foo')\nx = 42"
        view = road.run(NAMES, LOG, first, "%%step noblock\nsuspend_flow_run(timeout=600)\nlog('on')\nx")
        view = road.answer(view["id"])

        assert road.log() == ["foo", "on"]
        assert returned(view, "noblock") == 42

    def test_suspended_runs_fail_after_one_hour_by_default_saying_that_they_suspended_and_never_resumed(
        self, road: Road
    ) -> None:
        view = road.run(NAMES, "%%step a\nsuspend_flow_run()")
        assert span_of(view["suspended"][0]) == timedelta(hours=1)
        assert view["suspended"][0]["on_timeout"] == "fail"

        road.let_time_pass(view, hours=2)
        Clock(road.queue).sweep()
        ended = road.view(view)
        assert (ended["state"], ended["reason"]["kind"]) == ("failed", "timeout")
        assert "suspended and never resumed" in ended["error"]["message"]

    def test_without_a_timeout_it_waits_for_ever(self, road: Road) -> None:
        view = road.run(NAMES, "%%step a\nsuspend_flow_run(timeout=None)")

        assert view["suspended"][0]["deadline"] is None

    def test_several_in_one_step_each_get_their_own_answer(self, road: Road) -> None:
        step = "%%step a\nfirst = suspend_flow_run(int)\nsecond = suspend_flow_run(str)\n[first, second]"
        view = road.run(NAMES, step)
        view = road.answer(view["id"], {"value": 1})
        assert view["state"] == "suspended"

        assert returned(road.answer(view["id"], {"value": "two"}), "a") == [1, "two"]

    @pytest.mark.thorough
    def test_from_outside_by_client_code(self, road: Road, noticed_suspension: threading.Event) -> None:
        wait = "import time\nlog('runs')\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
        execution = road.start("import pathlib", LOG, f"%%step a\n{wait}", "%%step b\nlog('b')")

        def suspend() -> None:
            wait_until(lambda: road.log() == ["runs"], "the step runs")
            program = f"from pauseflow_nb import suspend_flow_run; suspend_flow_run(flow_run_id={execution!r})"
            subprocess.run([sys.executable, "-c", program], env=environment_of(road), check=True, timeout=60)
            assert noticed_suspension.wait(60)
            (road.folder / "go").touch()

        thread = threading.Thread(target=suspend)
        thread.start()
        view = road.ride(execution)
        thread.join()

        assert (view["state"], view["suspended"][0]["kind"]) == ("suspended", "operator")
        assert road.log() == ["runs"]
        road.send(view)
        assert road.ride(execution)["state"] == "completed"

    def test_outside_of_a_step_there_is_nothing_to_suspend(self, road: Road) -> None:
        assert road.run(NAMES, "suspend_flow_run()")["error"]["type"] == "NotInStep"


class TestInput:
    def test_a_pause_returns_an_instance_of_the_model(self, road: Road) -> None:
        step = "%%step greet\nuser = pause_flow_run(wait_for_input=UserNameInput)\n[type(user).__name__, f'Hello, {user.name}!']"

        def act(view: dict[str, Any]) -> None:
            status, refused = send(view["suspended"][0]["resume_url"], {})
            assert (status, road.queue.state(view["id"])) == (422, "paused")
            assert "name" in json.dumps(refused["errors"])
            assert send(view["suspended"][0]["resume_url"], {"name": "Marvin"})[0] == 200

        view = ride(road, road.start(NAMES, USER, step), act)

        assert returned(view, "greet") == ["UserNameInput", "Hello, Marvin!"]

    def test_a_suspension_returns_an_instance_of_the_model(self, road: Road) -> None:
        step = "%%step greet\nuser = suspend_flow_run(wait_for_input=UserNameInput)\n[type(user) is UserNameInput, user.name]"
        view = road.run(NAMES, USER, step)
        status, _ = road.send(view, body={"nickname": "M."})
        assert (status, road.view(view)["state"]) == (422, "suspended")

        assert returned(road.answer(view["id"], {"name": "Marvin"}), "greet") == [True, "Marvin"]

    @pytest.mark.thorough
    def test_client_code_sends_the_input_and_learns_what_is_wrong(self, road: Road) -> None:
        view = road.run(NAMES, "%%step a\nsuspend_flow_run(int)")
        program = (
            "from pauseflow_nb import resume_flow_run\nfrom pauseflow_nb.errors import InvalidAnswer\n"
            f"try:\n    resume_flow_run({view['id']!r}, run_input={{'value': 'many'}})\n"
            f"except InvalidAnswer as problem:\n    print(problem)\nresume_flow_run({view['id']!r}, 3)"
        )
        words = [sys.executable, "-c", program]
        printed = subprocess.run(
            words, env=environment_of(road), check=True, timeout=60, capture_output=True, text=True
        ).stdout

        assert "whole number" in printed
        assert returned(road.ride(view["id"]), "a") == 3

    def test_a_plain_type_becomes_a_form_with_one_value(self, road: Road) -> None:
        view = road.run(NAMES, "%%step a\nsuspend_flow_run(bool)")

        assert list(view["suspended"][0]["schema"]["properties"]) == ["value"]
        assert returned(road.answer(view["id"], {"value": True}), "a") is True

    def test_initial_values_and_a_markdown_description_stand_on_the_page(self, road: Road) -> None:
        model = "UserNameInput.with_initial_data(description='# Who are *you*?', name='anonymous')"
        view = road.run(
            NAMES, USER, f"%%step a\nuser = suspend_flow_run({model})\n[isinstance(user, UserNameInput), user.name]"
        )
        (waits,) = view["suspended"]
        with urlopen(Request(waits["approval_url"], headers={"Accept": "text/html"})) as page:
            text = page.read().decode()

        assert "Who are <em>you</em>?" in text
        assert "anonymous" in text
        assert returned(road.answer(view["id"], {}), "a") == [True, "anonymous"]


class TestSubflows:
    CHILD = "%%step a\nimport pathlib, time\nlog('a')\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"

    @pytest.mark.parametrize("linked", [True, False])
    def test_a_linked_one_cannot_be_suspended_without_its_parent(
        self, road: Road, noticed_suspension: threading.Event, linked: bool
    ) -> None:
        from pauseflow_nb.errors import CannotSuspend

        road.notebook(LOG, self.CHILD, "%%step b\n1", name="child.ipynb")
        execution = road.start(f"%%step run\nflow.run_notebook('child.ipynb', linked={linked})")
        refused: list[bool] = []

        def suspend() -> None:
            wait_until(lambda: road.log() == ["a"], "the child runs")
            child = road.queue.view(execution)["suspended"][0]["data"]["child"]
            try:
                road.queue.suspend(child, by="user:bob")
                refused.append(False)
            except CannotSuspend:
                refused.append(True)
            if not linked:
                assert noticed_suspension.wait(60)
            (road.folder / "go").touch()

        thread = threading.Thread(target=suspend)
        thread.start()
        view = road.ride(execution)
        thread.join()

        assert refused == [linked]
        assert view["state"] == ("completed" if linked else "suspended")


def test_initial_values_keep_what_else_is_said_of_a_field() -> None:
    from pydantic import Field, ValidationError

    import pauseflow_nb
    from pauseflow_nb.errors import InvalidValue

    class Order(pauseflow_nb.RunInput):
        many: int = Field(ge=1, description="How many?")
        what: str

    made = Order.with_initial_data(many=3)

    assert made.model_json_schema()["properties"]["many"] == {
        "default": 3,
        "description": "How many?",
        "minimum": 1,
        "title": "Many",
        "type": "integer",
    }
    assert made.model_validate({"what": "tea"}).many == 3
    assert Order.model_json_schema()["required"] == ["many", "what"]
    with pytest.raises(ValidationError):
        made(what="tea", many=0)
    with pytest.raises(InvalidValue, match="names no field of Order, which has many, what"):
        Order.with_initial_data(meny=3)


def test_all_three_take_what_prefect_takes() -> None:
    from inspect import signature

    import pauseflow_nb

    assert str(signature(pauseflow_nb.pause_flow_run)).startswith(
        "(wait_for_input: Any = None, timeout: float | None = 3600"
    )
    assert list(signature(pauseflow_nb.suspend_flow_run).parameters) == [
        "wait_for_input",
        "flow_run_id",
        "timeout",
        "key",
    ]
    assert list(signature(pauseflow_nb.resume_flow_run).parameters) == ["flow_run_id", "run_input"]
