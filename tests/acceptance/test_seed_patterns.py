"""The documented patterns, each a notebook in notebooks/, run headless against a real external service."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest
from acceptance.command import NOTEBOOKS, Ended, Pauseflow
from acceptance.service import Service
from acceptance.web import send, wait_until

pytestmark = pytest.mark.acceptance

LINK = re.compile(r"/pauseflow/(?:resume|cancel|approve)/[\w-]{8,}")


def assert_is_a_record(ended: Ended) -> None:
    """The finished notebook: run in order, no links in it, no traceback of ours."""
    counts = [cell.execution_count for cell in ended.notebook.cells if cell.get("execution_count")]

    assert counts == list(range(1, len(counts) + 1))
    assert not LINK.search(ended.output.read_text())


def assert_completed(ended: Ended) -> None:
    assert (ended.code, ended.execution["state"]) == (0, "completed"), ended.stderr
    assert_is_a_record(ended)


def test_every_example_is_tested() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    names = [path.stem.partition("_")[2] for path in NOTEBOOKS.glob("*.ipynb")]
    assert [name for name in names if f'"{name}"' not in tests] == []


@pytest.mark.new_process  # the whole road, as a person goes it
class TestApproveModel:
    @pytest.mark.thorough
    def test_a_new_process_goes_on_with_the_model_still_in_memory(self, pauseflow: Pauseflow) -> None:
        running = pauseflow.start_example("approve_model", trees=10)
        status, answer = send(running.link("resume"), {"comment": "looks good"})
        ended = running.end()

        assert status in {200, 202}, answer
        assert_completed(ended)
        result = json.loads((pauseflow.folder / "approved_model.json").read_text())
        assert result["trained by process"] != result["published by process"]
        assert result["answer"] == {"comment": "looks good"}
        assert result["metrics"] == ended.exports("train")["metrics"]
        assert len(result["forecast"]) == 10
        assert ended.exports("approve")["$resume_data"]["body"] == {"comment": "looks good"}
        assert {name: step["runs"] for name, step in ended.execution["steps"].items()} == dict.fromkeys(
            ("train", "approve", "publish"), 1
        )
        assert ended.execution["usage"]["wakeups"] == 1

    @pytest.mark.slow
    def test_it_says_what_it_waits_for_while_it_waits(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("approve_model", "--until-pause", trees=10)

        assert (ended.code, ended.execution["state"]) == (75, "suspended")
        assert "Use this model for screening?" in ended.stderr
        (waits,) = ended.execution["suspended"]
        assert (waits["step"], waits["kind"], waits["title"]) == ("approve", "suspend", "Use this model for screening?")
        assert waits["data"] == ended.exports("train")["metrics"]
        assert datetime.fromisoformat(waits["deadline"]) > datetime.fromisoformat(waits["since"])

        shown = {cell.id: cell.get("outputs") for cell in ended.notebook.cells}
        assert any("image/png" in output.get("data", {}) for output in shown["plot"])
        assert any("text/html" in output.get("data", {}) for output in shown["table"])
        assert any("Use this model for screening?" in str(output.get("data")) for output in shown["approve"])
        assert shown["publish"] == []
        assert_is_a_record(ended)


class TestApproveByLink:
    def test_the_step_can_send_its_links_and_a_request_to_one_goes_on(
        self, pauseflow: Pauseflow, service: Service
    ) -> None:
        running = pauseflow.start_example("approve_by_link", mailbox_url=f"{service.url}/mailbox")
        letter = service.next_mail()
        running.line_with("/pauseflow/resume/")
        status, _ = send(letter["resume"], {"approved": True})
        again, answer = send(letter["resume"], {"approved": True})
        ended = running.end()

        assert (status, again, answer["already"]) == (200, 200, True)
        assert_completed(ended)
        assert ended.exports("ask")["$resume_data"]["body"] == {"approved": True}
        assert ended.exports("read") | {"$return_value": None} == {
            "method": "POST",
            "answer": {"approved": True},
            "$return_value": None,
        }

    def test_a_request_before_the_step_has_ended_is_kept(self, pauseflow: Pauseflow, service: Service) -> None:
        """The link is valid from the moment it is made: here the mail's reader is faster than the step."""
        statuses: list[int] = []
        service.on_mail = lambda letter: statuses.append(send(letter["resume"], {"fast": True})[0])
        ended = pauseflow.run_example("approve_by_link", mailbox_url=f"{service.url}/mailbox")

        assert statuses == [202]
        assert_completed(ended)
        assert ended.exports("read")["answer"] == {"fast": True}

    def test_a_get_by_a_program_acts_and_its_query_is_the_answer(self, pauseflow: Pauseflow, service: Service) -> None:
        running = pauseflow.start_example("approve_by_link", mailbox_url=f"{service.url}/mailbox")
        status, _ = send(service.next_mail()["resume"] + "?colour=blue", method="GET")
        ended = running.end()

        assert status in {200, 202}
        assert_completed(ended)
        assert ended.exports("read")["method"] == "GET"
        assert ended.exports("read")["answer"] == {"colour": "blue"}

    def test_a_request_to_the_cancel_link_ends_it(self, pauseflow: Pauseflow, service: Service) -> None:
        running = pauseflow.start_example("approve_by_link", mailbox_url=f"{service.url}/mailbox")
        letter = service.next_mail()
        status, _ = send(letter["cancel"])
        ended = running.end()

        assert status in {200, 202}
        assert (ended.code, ended.execution["state"]) == (3, "cancelled")
        assert ended.execution["reason"]["kind"] == "link"
        assert "read" not in ended.execution["steps"] or ended.execution["steps"]["read"]["runs"] == 0
        assert_is_a_record(ended)


class TestApproveAtPrice:
    def test_a_price_that_moves_a_little_is_the_one_that_is_paid(self, pauseflow: Pauseflow, service: Service) -> None:
        running = pauseflow.start_example("approve_at_price", service_url=service.url)
        link = running.link("resume")
        service.price = 100.9
        send(link)
        ended = running.end()

        assert_completed(ended)
        assert service.orders == [{"symbol": "DJIA", "amount": 50, "limit": 100.9}]

    def test_one_that_moves_far_is_approved_again_behind_the_same_link(
        self, pauseflow: Pauseflow, service: Service
    ) -> None:
        running = pauseflow.start_example("approve_at_price", service_url=service.url)
        link = running.link("resume")
        service.price = 120.0
        send(link)
        running.line_with("price: 100.0 has become 120.0 (20% more)")
        orders_meanwhile = list(service.orders)
        send(link)
        ended = running.end()

        assert orders_meanwhile == []
        assert_completed(ended)
        assert service.orders == [{"symbol": "DJIA", "amount": 50, "limit": 120.0}]
        assert ended.exports("order")["paid"] == 6000.0


class TestCustomTimeout:
    def test_nobody_answers_and_it_is_cancelled(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("custom_timeout", timeout=700)

        assert (ended.code, ended.execution["state"]) == (3, "cancelled")
        assert ended.execution["reason"]["kind"] == "timeout"
        assert ended.execution["usage"]["suspended_seconds"] >= 0.7

    def test_nobody_answers_and_it_goes_on_with_the_default(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("custom_timeout", timeout="700ms", on_timeout="resume")

        assert_completed(ended)
        assert ended.exports("read")["by"] == "clock"
        assert ended.exports("read")["answer"] == {"approved": False}

    def test_nobody_answers_and_it_fails(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("custom_timeout", timeout=700, on_timeout="fail")

        assert (ended.code, ended.execution["state"]) == (1, "failed")
        assert ended.execution["reason"]["kind"] == "timeout"

    def test_seven_days_are_seven_days(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("custom_timeout", "--until-pause")

        (waits,) = ended.execution["suspended"]
        span = datetime.fromisoformat(waits["deadline"]) - datetime.fromisoformat(waits["since"])
        assert span.total_seconds() == pytest.approx(7 * 86_400, abs=1)
        assert ended.code == 75


class TestApprovePayment:
    def test_the_payment_is_sent_back_then_approved_and_both_are_verified(self, pauseflow: Pauseflow) -> None:
        waits = pauseflow.run_example("approve_payment", "--until-pause")
        id_ = waits.execution["id"]
        pauseflow("send-back", id_, "--comment", "Where is the order?", "--wait")
        again = json.loads(pauseflow("show", id_, "--json").stdout)
        paid = pauseflow("resume", id_, "--wait", "--json")
        verified = pauseflow("verify", waits.output)

        (asked,) = again["suspended"]
        assert (asked["title"], asked["labels"]["resume"]) == ("Pay 15,000,000 dollars to France?", "Pay")
        assert asked["message"] == "It was sent back: Where is the order?"
        assert paid.exports("pay")["paid"]["total"] == 15_000_000
        assert verified.code == 0, verified.stderr
        assert "Sent back by " in verified.stdout
        assert_is_a_record(waits)


class TestRetryFailedRequest:
    def test_it_asks_again_until_it_is_answered(self, pauseflow: Pauseflow, service: Service) -> None:
        service.failures = 2
        ended = pauseflow.run_example("retry_failed_request", service_url=service.url, delay=100)

        assert_completed(ended)
        assert service.requests == ["POST /completions"] * 3
        assert ended.execution["steps"]["complete"]["runs"] == 3
        assert ended.exports("complete")["$return_value"] == {"text": "This is a test."}
        assert ended.printed("use") == "This is a test.\n"

    def test_only_the_last_run_shows(self, pauseflow: Pauseflow, service: Service) -> None:
        service.failures = 1
        ended = pauseflow.run_example("retry_failed_request", service_url=service.url, delay=100)

        assert "failed" not in ended.printed("complete")

    def test_a_service_that_answers_is_asked_once(self, pauseflow: Pauseflow, service: Service) -> None:
        ended = pauseflow.run_example("retry_failed_request", service_url=service.url)

        assert_completed(ended)
        assert service.requests == ["POST /completions"]
        assert ended.execution["usage"]["wakeups"] == 0

    @pytest.mark.thorough
    def test_a_service_that_never_answers_is_given_up(self, pauseflow: Pauseflow, service: Service) -> None:
        service.failures = 99
        ended = pauseflow.run_example("retry_failed_request", service_url=service.url, delay=100, max_retries=2)

        assert (ended.code, ended.execution["state"]) == (1, "failed")
        assert len(service.requests) == 3
        assert ended.execution["error"]["step"] == "use"
        assert ended.execution["error"]["type"] == "RuntimeError"


class TestPollExternalJob:
    def test_it_looks_until_the_job_is_done(self, pauseflow: Pauseflow, service: Service) -> None:
        service.looks = 3
        ended = pauseflow.run_example("poll_external_job", service_url=service.url, delay=100)

        assert_completed(ended)
        assert service.requests == ["POST /jobs"] + ["GET /jobs/job-7"] * 3
        assert ended.execution["steps"]["poll"]["runs"] == 4
        assert ended.exports("poll")["$return_value"]["status"] == "DONE"
        assert ended.printed("report") == "job job-7 is DONE: a mean for each century\n"

    def test_a_job_that_is_never_done_raises_in_the_last_run(self, pauseflow: Pauseflow, service: Service) -> None:
        service.looks = 99
        ended = pauseflow.run_example("poll_external_job", service_url=service.url, delay=100, max_retries=2)

        assert ended.code == 1
        assert ended.execution["error"]["message"] == "Max retries exceeded"
        assert service.requests == ["POST /jobs", "GET /jobs/job-7"]


class TestExternalCallback:
    def test_the_service_calls_back_into_the_step(self, pauseflow: Pauseflow, service: Service) -> None:
        ended = pauseflow.run_example("external_callback", service_url=service.url)

        assert_completed(ended)
        (status, _) = wait_until(lambda: service.callbacks, "the service was answered")[0]
        assert status in {200, 202}
        assert service.requests == ["POST /transcriptions"]
        assert ended.execution["steps"]["transcribe"]["runs"] == 2
        request = ended.exports("transcribe")["$return_value"]
        assert (request["method"], request["body"]) == ("POST", {"text": "spoken words"})
        assert ended.printed("read") == "POST request: spoken words\n"

    def test_a_service_that_never_calls_leaves_it_to_the_clock(self, pauseflow: Pauseflow, service: Service) -> None:
        service.calls_back = False
        ended = pauseflow.run_example("external_callback", service_url=service.url, timeout=500)

        assert ended.code == 1
        assert ended.execution["error"]["message"] == "the service never called back"
        assert ended.execution["steps"]["transcribe"]["runs"] == 2


class TestPassContext:
    @pytest.mark.thorough
    def test_each_run_gets_what_the_one_before_left(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("pass_context", delay=100)

        assert_completed(ended)
        assert ended.execution["steps"]["read"]["runs"] == 3
        maxima = [[1778, 154.4], [1870, 139.0], [1957, 190.2]]
        assert ended.exports("read")["$return_value"] == {"page": 3, "maxima": maxima}
        assert ended.printed("report") == "1778: 154.4\n1870: 139.0\n1957: 190.2\n"

    def test_the_first_run_gets_none(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("pass_context", pages=1)

        assert ended.printed("read") == "run 1 was given None\n"


class TestUseSecret:
    def test_the_service_gets_the_key_before_and_after_the_pause_and_nobody_sees_it(
        self, pauseflow: Pauseflow, service: Service
    ) -> None:
        pauseflow.environment["PAUSEFLOW_SECRET_SERVICE_KEY"] = "k3y-7f3a91c0de55"
        running = pauseflow.start_example("use_secret", service_url=service.url)
        send(running.line_with("/pauseflow/resume/").split()[-1])
        ended = running.end()

        assert_completed(ended)
        assert service.authorizations == ["Bearer k3y-7f3a91c0de55"] * 2
        assert ended.printed("look_up") == "asks with the key ••••\n"
        assert "7f3a91c0de55" not in ended.stdout + ended.stderr + ended.output.read_text()


class TestMaxRetries:
    @pytest.mark.thorough
    def test_exceeded_a_step_goes_on_unless_it_raises(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("max_retries", delay=100)

        assert (ended.code, ended.execution["state"]) == (1, "failed")
        assert [ended.execution["steps"][step]["runs"] for step in ("attempt", "after", "insist")] == [4, 1, 4]
        assert ended.execution["usage"]["wakeups"] == 6
        assert ended.exports("after")["runs"] == 4
        assert ended.printed("after") == "after 4 runs, the number of 2009 is None\n"
        error = ended.execution["error"]
        assert (error["type"], error["message"], error["step"]) == ("RuntimeError", "Max retries exceeded", "insist")
        assert ended.printed("report") == ""

    def test_what_is_found_needs_no_retry(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("max_retries", year=2008)

        assert_completed(ended)
        assert ended.execution["usage"]["wakeups"] == 0
        assert ended.printed("report") == "found 2.9\n"

    def test_none_means_one_run(self, pauseflow: Pauseflow) -> None:
        ended = pauseflow.run_example("max_retries", delay=100, max_retries=0)

        assert ended.execution["state"] == "failed"
        assert [ended.execution["steps"][step]["runs"] for step in ("attempt", "insist")] == [1, 1]


class TestHandlerStyle:
    def test_handlers_suspend_rerun_export_and_return(self, pauseflow: Pauseflow, service: Service) -> None:
        running = pauseflow.start_example("handler_style", mailbox_url=f"{service.url}/mailbox", delay=100)
        send(service.next_mail()["resume"], {"approved": True})
        ended = running.end()

        assert_completed(ended)
        assert ended.exports("ask")["$return_value"] == {"asked": True, "year": "1957"}
        assert ended.exports("count")["context"] == {"hello": "world"}
        assert ended.exports("report")["$return_value"] == {"year": "1957", "answer": {"approved": True}, "runs": 2}
        assert ended.execution["steps"]["count"]["runs"] == 2
