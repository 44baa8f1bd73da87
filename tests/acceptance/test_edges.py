"""Edges at which workflow engines break, each walked with real kernels and real HTTP."""

import base64
import shutil
from typing import Any
from urllib.request import Request, urlopen

import pytest
from acceptance.road import Road
from acceptance.web import send
from jupyter_client.kernelspec import get_kernel_spec
from roads.rider import LOG, returned, shown

from pauseflow_nb.launching import RunOptions, plan, start_attached
from pauseflow_nb.runner import document

pytestmark = pytest.mark.acceptance


def test_nothing_of_the_step_runs_again_and_a_pause_looks_like_no_error(road: Road) -> None:
    view = road.run(LOG, "%%step ask\nlog('before')\nflow.suspend()\nlog('after')", "%%step last\nlog('last')")
    assert road.log() == ["before", "after"]
    outputs = [output for cell in road.output().cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} == {"display_data"}

    assert road.answer(view["id"])["state"] == "completed"
    assert road.log() == ["before", "after", "last"]


class TestOneQuestionAnsweredInManyWays:
    """Siblings of one execution that waits: each is answered for itself, and needs no kernel for that."""

    def test_resume_data_has_what_was_sent_in_whatever_form(self, road: Road) -> None:
        view = road.run("%%step ask\nflow.suspend()")

        def sent(content: bytes | None, kind: str | None, query: str = "", method: str = "POST") -> dict[str, Any]:
            sibling = road.queue.view(road.fork(view["id"]))
            headers = {"Accept": "application/json"} | ({} if kind is None else {"Content-Type": kind})
            url = sibling["suspended"][0]["resume_url"] + query
            with urlopen(Request(url, content, headers, method=method), timeout=30) as answer:
                assert answer.status == 200
            envelope: dict[str, Any] = road.view(sibling)["steps"]["ask"]["exports"]["$resume_data"]
            return envelope

        get = sent(None, None, "?approved=yes&tag=a&tag=b", "GET")
        assert (get["method"], get["query"], get["body"]) == ("GET", {"approved": "yes", "tag": ["a", "b"]}, None)
        assert sent(b'{"n": 1}', "application/json")["body"] == {"n": 1}
        assert sent(b"n=1&what=b+c", "application/x-www-form-urlencoded")["body"] == {"n": "1", "what": "b c"}
        assert sent("größe".encode(), "text/plain; charset=utf-8")["body"] == "größe"
        assert sent(b"", None)["body"] is None
        assert base64.b64decode(sent(b"\x00\xff", "application/octet-stream")["body"]["$base64"]) == b"\x00\xff"

    def test_a_rejection_and_no_answer_can_be_told_apart(self, road: Road) -> None:
        rejected = road.run("%%step ask\nflow.suspend('1h')")
        silent = road.queue.view(road.fork(rejected["id"]))
        road.send(rejected, "cancel")
        road.let_time_pass(silent, hours=2)
        status, answer = road.send(silent)

        assert (status, answer["state"]) == (410, "cancelled")
        reasons = [road.view(each)["reason"] for each in (rejected, silent)]
        assert [(reason["kind"], reason["by"]) for reason in reasons] == [("link", "link"), ("timeout", "clock")]

    def test_the_first_decision_stands_whoever_comes_later(self, road: Road) -> None:
        resumed = road.run("%%step ask\nflow.suspend()")
        cancelled, ended = (road.queue.view(road.fork(resumed["id"])) for _ in range(2))
        road.queue.cancel(ended["id"], by="user:ann")

        assert [road.send(resumed, action)[0] for action in ("resume", "resume", "cancel")] == [200, 200, 409]
        assert [road.send(cancelled, action)[0] for action in ("cancel", "cancel", "resume")] == [200, 200, 409]
        assert [road.send(ended, action)[0] for action in ("resume", "cancel")] == [410, 410]


class TestLinksOfAStepThatEndedOtherwise:
    def test_an_exception_after_suspend_voids_them(self, road: Road) -> None:
        view = road.run(
            "%%step ask\nlinks = flow.suspend()\nopen('link', 'w').write(links.resume_url)\nraise ValueError('no')"
        )
        status, answer = send((road.folder / "link").read_text())

        assert (status, answer["state"]) == (410, "failed")
        assert view["suspended"] == []

    def test_exit_beats_suspend_and_does_not_raise(self, road: Road) -> None:
        view = road.run(
            LOG,
            "%%step ask\nopen('link', 'w').write(flow.suspend().resume_url)\nflow.exit('enough')\nlog('rest')",
            "%%step last\nlog('never')",
        )

        assert (view["state"], view["reason"]["kind"], view["reason"]["text"]) == ("completed", "exit", "enough")
        assert road.log() == ["rest"]
        assert send((road.folder / "link").read_text())[0] == 410

    def test_a_rerun_has_links_of_its_own_within_a_loop_of_suspensions(self, road: Road) -> None:
        view = road.run(
            "answers = []",
            "%%step loop\nif 'callback_request' in flow.context.run:\n    answers.append(flow.data)\n"
            "if len(answers) < 3:\n    flow.suspend(then='rerun') if len(answers) % 2 else flow.rerun('1h')\nanswers",
            "%%step last\nanswers",
        )
        for n, state in enumerate(("waiting", "suspended", "waiting")):
            assert view["state"] == state
            url = view["suspended"][0]["resume_url"]
            assert send(url, n)[0] == 200
            view = road.ride(view["id"])
            status, answer = send(url, "again")
            # Its answer is in already, or the notebook has ended with it: it answers no later question.
            assert (status, answer.get("already", False)) == ((410, False) if n == 2 else (200, True))

        assert (view["state"], returned(view, "last")) == ("completed", [0, 1, 2])


class TestTheNotebookIsFrozen:
    @pytest.mark.parametrize("change", ["edited", "deleted"])
    def test_what_happens_to_the_source_while_it_waits_does_not_matter(self, road: Road, change: str) -> None:
        view = road.run("%%step ask\nflow.suspend()", "%%step last\n'as it was'")
        source = road.folder / "in.ipynb"
        source.unlink() if change == "deleted" else source.write_text("{}")

        assert returned(road.answer(view["id"]), "last") == "as it was"

    def test_a_kernel_that_is_gone_keeps_the_answer_for_a_retry(
        self, road: Road, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = road.folder / "share" / "kernels" / "own"
        shutil.copytree(get_kernel_spec("python3").resource_dir, own)
        monkeypatch.setenv("JUPYTER_PATH", str(road.folder / "share"))
        path = road.notebook("x = 1", "%%step ask\nflow.suspend()", "%%step last\nsteps.ask.data, x")
        options = RunOptions(kernel="own", cwd=str(road.folder))
        execution = start_attached(road.queue, plan(str(path), None, {}, options))
        road.ride(execution)
        shutil.move(own, road.folder / "elsewhere")

        view = road.answer(execution, "yes")
        assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
        assert "'own'" in view["error"]["message"]

        shutil.move(road.folder / "elsewhere", own)
        road.retry(execution)
        assert returned(road.ride(execution), "last") == ["yes", 1]

    def test_an_output_that_was_deleted_is_written_again(self, road: Road) -> None:
        view = road.run("%%step ask\nflow.suspend()", "%%step last\n1")
        (road.folder / "out.ipynb").unlink()
        road.answer(view["id"])

        assert "Approved by ann" in shown(road.output())


class TestUnicode:
    def test_everywhere(self, road: Road) -> None:
        text = "Ünïcödé 日本語 🐍 \N{RIGHT-TO-LEFT MARK}עברית"
        view = road.run(
            f"%%step größe\nflow.suspend(title={text!r}, message={text!r}, data={{{text!r}: {text!r}}})",
            "%%step last\nsteps.größe.data, steps.größe['$suspend_data']",
        )
        (waits,) = view["suspended"]
        assert (waits["step"], waits["title"], waits["data"]) == ("größe", text, {text: text})
        assert road.send(view, body={text: [text]})[0] == 200
        ended = road.ride(view["id"])

        assert returned(ended, "last") == [{text: [text]}, {text: text}]


class TestCellsThatMisbehave:
    def test_input_is_refused_and_says_why(self, road: Road) -> None:
        view = road.run("%%step ask\nname = input('Who? ')")

        assert (view["state"], view["error"]["type"]) == ("failed", "StdinNotImplementedError")

    def test_sys_exit_fails_and_names_flow_exit(self, road: Road) -> None:
        view = road.run("%%step leave\nimport sys\nsys.exit(3)")

        assert (view["state"], view["error"]["type"]) == ("failed", "SystemExit")
        assert "flow.exit()" in view["error"]["message"]

    def test_os_exit_takes_the_kernel_down_three_times_and_then_it_fails(self, road: Road) -> None:
        view = road.run(LOG, "%%step leave\nimport os\nlog(str(flow.context.run.attempt))\nos._exit(3)")

        assert (view["state"], view["reason"]["kind"]) == ("failed", "crashed")
        assert road.log() == ["1", "2", "3"]

    def test_out_of_memory_fails_the_step_and_retry_goes_on(self, road: Road) -> None:
        view = road.run(
            "x = 1",
            "%%step first\nx += 1",
            "%%step greedy\nimport os, resource\n"
            "resource.setrlimit(resource.RLIMIT_AS, (1 << 32, resource.RLIM_INFINITY))\n"
            "y = None if os.path.exists('enough') else bytearray(1 << 33)",
            "%%step last\nx",
        )
        assert (view["state"], view["error"]["type"], view["error"]["step"]) == ("failed", "MemoryError", "greedy")

        (road.folder / "enough").touch()
        road.retry(view["id"])
        assert returned(road.ride(view["id"]), "last") == 2

    def test_an_export_that_is_not_json_names_the_key_and_the_type(self, road: Road) -> None:
        view = road.run("%%step a\nflow.export('rows', {'when': [object()]})")

        assert view["error"]["type"] == "NotJSON"
        assert "'rows'" in view["error"]["message"]
        assert "object at ['when'][0]" in view["error"]["message"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
class TestSize:
    def test_a_notebook_of_ten_thousand_cells_pauses_and_goes_on(
        self, road: Road, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        half = ["n += 1"] * 4999
        view = road.run("n = 0", *half, "%%step ask\nflow.suspend()", *half, "%%step last\nn")
        assert (view["state"], view["cells"]) == ("suspended", {"done": 5002, "total": 10002})
        encoded: list[Any] = []

        def encode(*cell: Any, original: Any = document._make_stored_cell) -> Any:
            encoded.append(cell)
            return original(*cell)

        monkeypatch.setattr(document, "_make_stored_cell", encode)

        ended = road.answer(view["id"])

        assert (ended["state"], returned(ended, "last")) == ("completed", 9998)
        # Each cell a few times: to encode the whole notebook after each cell would make 50 million of them.
        assert 10_002 <= len(encoded) < 100_000

    def test_a_step_that_prints_100_mb(self, road: Road) -> None:
        line = "x" * 999
        view = road.run(f"%%step loud\nfor _ in range(100_000): print('{line}')\nflow.suspend()", "%%step last\n1")
        ended = road.answer(view["id"])

        outputs: Any = next(cell.outputs for cell in road.output().cells if "loud" in cell.source)
        assert ended["state"] == "completed"
        assert sum(len(output.text) for output in outputs if output.output_type == "stream") == 100_000_000
