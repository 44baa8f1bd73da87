"""What Pipedream's page "Pause, resume, and rerun a workflow" says, one test for each sentence, here.

The page's own examples, as notebooks, are run by `test_seed_patterns.py`. What differs on purpose
stands in docs/pipedream.md.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from acceptance.road import Road, open_road
from acceptance.service import Service
from acceptance.web import send
from roads.mail import mail_server
from roads.rider import returned, shown

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.settings import Settings

pytestmark = pytest.mark.acceptance

ASK = "%%step code\nflow.suspend()"
AFTER = "%%step after\nsteps.code.data"


def seconds_to_answer(view: dict[str, Any]) -> float:
    (waits,) = view["suspended"]
    left = datetime.fromisoformat(waits["deadline"]) - datetime.fromisoformat(waits["since"])
    return left.total_seconds()


class TestSuspend:
    def test_it_proceeds_with_the_remaining_steps_only_when_approved(self, road: Road) -> None:
        view = road.run("%%step code\nflow.suspend()", "%%step after\nopen('after', 'w').close()")
        assert (view["state"], (road.folder / "after").exists()) == ("suspended", False)

        assert road.send(view)[0] == 200
        assert (road.ride(view["id"])["state"], (road.folder / "after").exists()) == ("completed", True)

    def test_it_pauses_at_the_end_of_the_step_so_the_links_can_be_passed_on_before(
        self, road: Road, service: Service
    ) -> None:
        send_links = (
            f"urllib.request.urlopen(urllib.request.Request({service.url!r} + '/mailbox', json.dumps(links).encode()))"
        )
        view = road.run(
            "import json, urllib.request\nok = 'no'",
            f"%%step code\nlinks = dict(flow.suspend().items())\n{send_links}\nok = 'the rest of the step ran'",
            "%%step after\nok",
        )
        letter: dict[str, str] = service.next_mail()

        assert letter["resume_url"] == view["suspended"][0]["resume_url"]
        assert send(letter["resume_url"])[0] == 200
        assert returned(road.ride(view["id"]), "after") == "the rest of the step ran"

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # aiosmtpd
    def test_you_send_yourself_a_mail_and_approve_by_what_it_links_to(
        self, sqlite_settings: Settings, tmp_path: Path
    ) -> None:
        """The page's first example as it stands. The mail links to a page with both buttons, so that no scanner decides."""
        with mail_server() as box, open_road(sqlite_settings.model_copy(update=box.settings), tmp_path) as road:
            view = road.run(
                "%%step code\ndef handler(pd: 'pipedream'):\n    urls = pd.flow.suspend()\n    pd.send.email(\n"
                "      subject='Please approve this important workflow',\n"
                "      text=f'Click here to approve the workflow: {urls[\"resume_url\"]}, '\n"
                "           f'and cancel here: {urls[\"cancel_url\"]}',\n    )",
                AFTER,
            )
            (mail,), (waits,) = box.mails, view["suspended"]
            text = box.texts()

            assert (mail["subject"], view["state"]) == ("Please approve this important workflow", "suspended")
            assert text.count(waits["approval_url"]) == 2
            assert waits["resume_url"] not in text
            assert send(f"{waits['approval_url']}?decision=resume")[0] == 200
            assert road.ride(view["id"])["state"] == "completed"

    def test_a_request_to_the_cancel_url_cancels_that_execution(self, road: Road) -> None:
        view, other = road.run(ASK, AFTER), road.ride(road.start(ASK, AFTER, output="other.ipynb"))

        assert road.send(view, "cancel")[0] == 200
        assert road.view(view)["state"] == "cancelled"
        assert road.view(other)["state"] == "suspended"
        assert road.send(other)[0] == 200
        assert road.view(view)["state"] == "cancelled"

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_any_http_request_acts(self, road: Road, method: str) -> None:
        view = road.run(ASK)

        assert road.send(view, method=method)[0] == 200
        assert road.view(view)["state"] == "queued"

    def test_it_can_be_loaded_in_a_browser(self, road: Road) -> None:
        """Looking does not act here: the page has a button."""
        (waits,) = road.run(ASK)["suspended"]
        request = Request(waits["resume_url"], headers={"Accept": "text/html,*/*;q=0.8"})
        with urlopen(request, timeout=30) as page:
            html = page.read().decode()

        assert re.search(r'<button class="go" name="decision" value="resume"[^>]*>Approve</button>', html)
        assert road.queue.list()[0]["state"] == "suspended"

    def test_data_sent_in_the_request_is_in_the_resume_data_export(self, road: Road) -> None:
        view = road.run(ASK, AFTER, "%%step envelope\ndict(steps.code['$resume_data'])")
        (waits,) = view["suspended"]
        assert send(f"{waits['resume_url']}?source=mail", {"approved": True, "note": "schön ✓"})[0] == 200
        ended = road.ride(view["id"])

        assert returned(ended, "after") == {"approved": True, "note": "schön ✓"}
        envelope = returned(ended, "envelope")
        assert envelope["query"] == {"source": "mail"}
        assert (envelope["method"], envelope["by"]) == ("POST", "link")
        assert waits["resume_url"] not in json.dumps(ended)

    def test_larger_payloads_arrive_as_a_file(self, road: Road) -> None:
        view = road.run(
            ASK, "%%step after\nwith open(steps.code.data['$file']) as f: text = f.read()\nlen(text), text[-3:]"
        )
        body = "x" * 3_000_000 + "end"
        request = Request(view["suspended"][0]["resume_url"], body.encode(), {"Content-Type": "text/plain"})
        with urlopen(request, timeout=30) as answer:
            assert answer.status == 200

        assert returned(road.ride(view["id"]), "after") == [3_000_003, "end"]


class TestTimeout:
    def test_by_default_it_is_cancelled_after_24_hours(self, road: Road) -> None:
        view = road.run(ASK, AFTER)
        assert seconds_to_answer(view) == 24 * 3600

        road.let_time_pass(view, hours=23.9)
        assert Clock(road.queue).sweep() == 0
        road.let_time_pass(view, hours=0.2)
        ended = road.ride(view["id"])

        assert (ended["state"], ended["reason"]["kind"]) == ("cancelled", "timeout")

    def test_your_own_timeout_is_in_milliseconds(self, road: Road) -> None:
        assert seconds_to_answer(road.run("%%step code\nflow.suspend(1000 * 60 * 60 * 24 * 7)")) == 7 * 24 * 3600

    def test_the_older_page_resumes_on_timeout_which_is_an_option(self, road: Road) -> None:
        view = road.run("%%step code\nflow.suspend(60_000, on_timeout='resume')", AFTER)
        road.let_time_pass(view, hours=1)

        ended = road.ride(view["id"], until_pause=False)
        assert (ended["state"], returned(ended, "after")) == ("completed", None)


class TestRerun:
    def test_a_failed_request_is_tried_again_in_an_except(self, road: Road, service: Service) -> None:
        service.failures = 2
        ended = road.through(
            f"%%step code\nimport json, urllib.request\ntry:\n"
            f"    answer = json.load(urllib.request.urlopen('{service.url}/completions', b'{{}}'))\n"
            f"except OSError:\n    answer = None\n    flow.rerun(50, None, 3)\nanswer",
            "%%step after\nsteps.code['$return_value']",
        )

        assert returned(ended, "after") == {"text": "This is a test."}
        assert ended["steps"]["code"]["runs"] == 3

    def test_a_job_is_polled_until_it_completes(self, road: Road) -> None:
        ended = road.through(
            "%%step code\nruns = flow.context.run.runs\n"
            "if runs == 1 or runs < 3:\n    flow.rerun(50, None, 3)\nelif runs == 4:\n    raise RuntimeError('Max retries exceeded')\n"
            "'DONE' if runs == 3 else None"
        )

        assert returned(ended, "code") == "DONE"

    def test_runs_starts_at_1_and_context_goes_from_one_run_to_the_next(self, road: Road) -> None:
        ended = road.through(
            "seen = []",
            "%%step code\nrun = flow.context.run\nseen.append([run.runs, run.context, 'callback_request' in run])\n"
            "if run.runs < 3:\n    flow.rerun(20, {'hello': run.runs})",
            "%%step after\nseen",
        )

        assert returned(ended, "after") == [[1, None, False], [2, {"hello": 1}, False], [3, {"hello": 2}, False]]

    def test_the_callback_is_processed_within_the_step(self, road: Road, service: Service) -> None:
        send_links = f"urllib.request.Request({service.url!r} + '/mailbox', json.dumps(links).encode())"
        view = road.run(
            "import json, urllib.request",
            "%%step code\nrun = flow.context.run\nif run.runs == 1:\n    links = flow.rerun(86_400_000, None, 1)\n"
            f"    urllib.request.urlopen({send_links})\n"
            "elif 'callback_request' in run:\n    result = dict(run.callback_request.body)\nresult if run.runs > 1 else None",
            "%%step after\nsteps.code['$return_value']",
        )
        letter: dict[str, str] = service.next_mail()
        assert view["state"] == "waiting"

        assert send(letter["resume_url"], {"text": "spoken words"})[0] == 200
        assert returned(road.ride(view["id"]), "after") == {"text": "spoken words"}

    def test_its_cancel_url_cancels(self, road: Road) -> None:
        view = road.run("%%step code\nflow.rerun(86_400_000)", AFTER)

        assert road.send(view, "cancel")[0] == 200
        assert road.view(view)["state"] == "cancelled"

    def test_an_external_service_that_never_calls_leaves_it_to_the_clock(self, road: Road) -> None:
        view = road.run(
            "%%step code\nrun = flow.context.run\nif run.runs == 1:\n    flow.rerun(86_400_000, None, 1)\n"
            "elif 'callback_request' not in run:\n    raise RuntimeError('External service never completed job')"
        )
        road.let_time_pass(view, hours=25)

        ended = road.ride(view["id"], until_pause=False)
        assert (ended["state"], ended["error"]["message"]) == ("failed", "External service never completed job")


class TestMaxRetries:
    def test_the_default_is_10(self, road: Road) -> None:
        road.run("%%step code\nflow.rerun(60_000)")

        assert "run 1 of 11" in shown(road.output())

    def test_when_it_is_exceeded_the_workflow_proceeds(self, road: Road) -> None:
        ended = road.through("%%step code\nflow.rerun(10, None, 1)\nflow.context.run.runs", "%%step after\n'came here'")

        assert (returned(ended, "code"), returned(ended, "after")) == (2, "came here")

    def test_raise_to_handle_this_case_with_an_exception(self, road: Road) -> None:
        ended = road.through(
            "%%step code\nif flow.context.run.runs == 2:\n    raise Exception('Max retries exceeded')\nflow.rerun(10, None, 1)"
        )

        assert (ended["state"], ended["error"]["message"]) == ("failed", "Max retries exceeded")

    def test_a_callback_uses_up_one(self, road: Road) -> None:
        view = road.run("%%step code\nflow.rerun(60_000, None, 1)\nflow.context.run.runs", "%%step after\n1")
        road.send(view)

        assert returned(road.ride(view["id"], until_pause=False), "code") == 2


class TestTesting:
    @pytest.mark.parametrize("call", ["suspend", "rerun"])
    def test_it_does_not_suspend_and_says_so(self, new_shell: Any, call: str) -> None:
        shell = new_shell()
        shell.run("from pauseflow_nb import flow, steps")
        ran = shell.run(f"%%step code\nflow.{call}({'' if call == 'suspend' else '1000'})")

        message = f"Workflow execution canceled — this may be due to `flow.{call}()` usage (not supported in test)"
        assert message in str(ran)


class TestCredits:
    def test_the_time_it_is_suspended_is_not_charged_and_each_wake_up_is_a_fresh_count(self, road: Road) -> None:
        view = road.run("%%step code\nflow.suspend()", "%%step again\nflow.rerun(300, None, 1)", "%%step last\n1")
        road.let_time_pass(view, hours=1)
        road.send(view)
        usage = road.ride(view["id"], until_pause=False)["usage"]

        assert usage["wakeups"] == 2
        assert len(usage["segments"]) == usage["wakeups"] + 1
        assert usage["compute_seconds"] == pytest.approx(
            sum(segment["compute_seconds"] for segment in usage["segments"]), abs=0.01
        )
        assert usage["suspended_seconds"] >= 0.3


class TestHandler:
    def test_a_python_step_written_for_it_runs_as_it_is(self, road: Road) -> None:
        view = road.run(
            "%%step code\nasync def handler(pd: 'pipedream'):\n    urls = pd.flow.suspend()\n"
            "    pd.export('has', sorted(urls))\n    return {'asked': pd.context['run']['runs']}",
            "%%step after\ndef handler(pd: 'pipedream'):\n    return [pd.steps['code']['has'], pd.steps.code.data]",
        )
        road.send(view, body={"ok": True})
        ended = road.ride(view["id"])

        assert returned(ended, "code") == {"asked": 1}
        assert returned(ended, "after") == [["approval_url", "cancel_url", "resume_url"], {"ok": True}]


def test_no_link_stays_in_the_notebook(road: Road) -> None:
    view = road.run("%%step code\nlinks = flow.suspend()\nprint(links.resume_url)\nlinks")

    assert not re.search(r"/pauseflow/(?:resume|cancel|approve)/[\w-]{8,}", (road.folder / "out.ipynb").read_text())
    assert view["state"] == "suspended"
