"""Edges at which workflow engines break, each walked with real kernels and real HTTP."""

import time
from typing import Any

import pytest
from acceptance.road import Road
from acceptance.web import send
from roads.rider import LOG, returned, shown

pytestmark = pytest.mark.acceptance


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
            assert (status, answer["already"]) == (200, True)

        assert (view["state"], returned(view, "last")) == ("completed", [0, 1, 2])


class TestTheNotebookIsFrozen:
    @pytest.mark.parametrize("change", ["edited", "deleted"])
    def test_what_happens_to_the_source_while_it_waits_does_not_matter(self, road: Road, change: str) -> None:
        view = road.run("%%step ask\nflow.suspend()", "%%step last\n'as it was'")
        source = road.folder / "in.ipynb"
        source.unlink() if change == "deleted" else source.write_text("{}")

        assert returned(road.answer(view["id"]), "last") == "as it was"

    def test_an_output_that_was_deleted_is_written_again(self, road: Road) -> None:
        view = road.run("%%step ask\nflow.suspend()", "%%step last\n1")
        (road.folder / "out.ipynb").unlink()
        road.answer(view["id"])

        assert "Resumed by ann" in shown(road.output())


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
@pytest.mark.timeout(400)
class TestSize:
    def test_a_notebook_of_ten_thousand_cells_pauses_and_goes_on(self, road: Road) -> None:
        half = ["n += 1"] * 4999
        view = road.run("n = 0", *half, "%%step ask\nflow.suspend()", *half, "%%step last\nn")
        assert (view["state"], view["cells"]) == ("suspended", {"done": 5002, "total": 10002})
        began = time.monotonic()

        ended = road.answer(view["id"])

        assert (ended["state"], returned(ended, "last")) == ("completed", 9998)
        assert time.monotonic() - began < 90

    def test_a_step_that_prints_100_mb(self, road: Road) -> None:
        line = "x" * 999
        view = road.run(f"%%step loud\nfor _ in range(100_000): print('{line}')\nflow.suspend()", "%%step last\n1")
        ended = road.answer(view["id"])

        outputs: Any = next(cell.outputs for cell in road.output().cells if "loud" in cell.source)
        assert ended["state"] == "completed"
        assert sum(len(output.text) for output in outputs if output.output_type == "stream") == 100_000_000
