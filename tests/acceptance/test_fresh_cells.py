"""What was shown still holds when an answer takes effect: fresh cells run again, and a drift asks again."""

import json
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from acceptance.road import Road
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from decisions.program import check
from roads.rider import LOG, returned, shown

from pauseflow_nb.decisions.statement import ENDED
from pauseflow_nb.decisions.verification import verify
from pauseflow_nb.errors import InvalidStep
from pauseflow_nb.launching import RunOptions, plan, start_attached
from pauseflow_nb.server.execution_report import make_report

pytestmark = pytest.mark.acceptance

#: Reads a number that the test changes while the notebook waits.
READ = "price = float(open('price').read())\nprice"
ASK = "%%step ask\nflow.suspend(title='Buy?', data={'price': price})"
BUY = "%%step buy\nprice"


#: Changes the price, and kills its kernel; the next attempt goes on.
DIE_ONCE = "if not os.path.exists('died'):\n    open('died', 'w').close()\n    open('price', 'w').write('500')\n    os.kill(os.getpid(), 9)"


def set_price(road: Road, text: object) -> None:
    (road.folder / "price").write_text(str(text))


def ordered(road: Road, header: str = "%%fresh price --tolerance 1%", *more: str) -> dict[str, Any]:
    """Ask whether to buy at 100."""
    set_price(road, 100)
    view = road.run(f"{header}\n{READ}", ASK, *more, BUY)
    assert view["state"] == "suspended", view
    return view


def audit(road: Road, view: dict[str, Any]) -> list[str]:
    return [line["what"] for line in road.queue.audit(view["id"])]


def problems(road: Road, change: Callable[[dict[str, Any]], None] = lambda _notebook: None) -> list[str]:
    """What `pauseflow verify` has against the output, and at the end the program in the documentation, too."""
    notebook = json.loads(nbformat.writes(road.output()))
    change(notebook)
    (pem,) = [road.queue.public_key(key["id"]) for key in road.queue.list_keys()]
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, Ed25519PublicKey)
    result = verify(notebook, [key])
    if result.statements and result.statements[-1].kind == ENDED:
        by_the_program = check(notebook, key)
        assert bool(result.problems) == bool(by_the_program), by_the_program
    return result.problems


def facts_in(notebook: dict[str, Any], kind: str) -> dict[str, Any]:
    outputs = [output["metadata"] for cell in notebook["cells"] for output in cell.get("outputs", [])]
    (found,) = [each["pauseflow"] for each in outputs if each.get("pauseflow", {}).get("kind") == kind]
    return dict(found)


class TestWithinTheTolerance:
    def test_it_goes_on_with_the_new_value(self, road: Road) -> None:
        view = ordered(road)
        set_price(road, 100.5)

        ended = road.answer(view["id"])

        assert (ended["state"], returned(ended, "buy")) == ("completed", 100.5)
        assert "100.0 has become 100.5 (0.5% more), within the tolerance of 1%" in shown(road.output())
        assert problems(road) == []

    @pytest.mark.parametrize(
        ("tolerance", "price", "state"),
        [
            ("1%", 101, "completed"), ("1%", 101.0001, "suspended"), ("0", 100.0001, "suspended"), ("1%", "nan", "suspended"),
        ],
    )  # fmt: skip
    def test_the_border_is_exact(self, road: Road, tolerance: str, price: object, state: str) -> None:
        view = ordered(road, f"%%fresh price --tolerance {tolerance}")
        set_price(road, price)

        assert road.answer(view["id"])["state"] == state


class TestADriftAsksAgain:
    def test_with_the_same_links_and_deadline_and_both_values(self, road: Road) -> None:
        view = ordered(road)
        (before,) = view["suspended"]
        set_price(road, 120)

        again = road.answer(view["id"])

        assert again["state"] == "suspended"
        (asked,) = again["suspended"]
        (drift,) = asked["drift"]
        assert [asked[key] for key in ("title", "resume_url", "cancel_url", "approval_url", "deadline")] == [
            before[key] for key in ("title", "resume_url", "cancel_url", "approval_url", "deadline")
        ]
        assert (drift["name"], drift["old"], drift["new"]) == ("price", "100.0", "120.0")
        assert drift["reason"] == "100.0 has become 120.0 (20% more); the tolerance is 1%"
        assert drift["rows"] == [{"place": "", "old": "100.0", "new": "120.0", "changed": True}]
        assert before["drift"] == []
        assert asked["shown"] != before["shown"]
        assert "reopened" in audit(road, view)
        assert "$resume_data" not in again["steps"]["ask"]["exports"]
        text = shown(road.output())
        assert "100.0 \\u2192 120.0" in text
        assert "<mark>120.0</mark>" in text
        assert problems(road) == []

    def test_the_next_answer_counts_if_it_holds_by_then(self, road: Road) -> None:
        view = ordered(road)
        set_price(road, 120)
        again = road.answer(view["id"])

        ended = road.answer(again["id"])

        assert (ended["state"], returned(ended, "buy")) == ("completed", 120.0)
        assert problems(road) == []

    def test_back_at_the_first_value_it_has_drifted_from_the_second(self, road: Road) -> None:
        view = ordered(road)
        for price in (120, 100):
            set_price(road, price)
            view = road.answer(view["id"])

        (asked,) = view["suspended"]
        assert [(each["old"], each["new"]) for each in asked["drift"]] == [("120.0", "100.0")]

    def test_an_answer_to_what_was_shown_before_is_stale(self, road: Road) -> None:
        view = ordered(road)
        (before,) = view["suspended"]
        set_price(road, 120)
        road.answer(view["id"])

        assert road.queue.resume(view["id"], by="user:ann", seen=before["shown"]).status == 409

    def test_a_cancel_still_cancels(self, road: Road) -> None:
        view = ordered(road)
        set_price(road, 120)
        again = road.answer(view["id"])

        assert road.send(again, "cancel")[0] == 200
        assert road.view(view)["state"] == "cancelled"

    def test_over_http_the_first_answer_is_taken_and_the_page_shows_both(self, road: Road) -> None:
        view = ordered(road)
        set_price(road, 120)
        assert road.send(view)[0] == 200
        again = road.ride(view["id"])

        import urllib.request

        request = urllib.request.Request(again["suspended"][0]["approval_url"], headers={"Accept": "text/html"})
        page = urllib.request.urlopen(request).read().decode()
        assert "has changed since" in page
        assert "<mark>120.0</mark>" in page

    def test_all_people_are_asked_again(self, road: Road) -> None:
        set_price(road, 100)
        view = road.run(f"%%fresh price\n{READ}", "%%step ask\nflow.suspend(approvals=2)", BUY)
        assert road.queue.resume(view["id"], by="user:bob").status == 202
        set_price(road, 120)

        again = road.answer(view["id"])

        assert again["suspended"][0]["approvals"]["given"] == []
        assert road.queue.resume(view["id"], by="user:bob").status == 202
        assert returned(road.answer(view["id"]), "buy") == 120.0

    def test_who_sends_back_is_not_asked_again_and_the_step_asks_about_the_new_value(self, road: Road) -> None:
        set_price(road, 100)
        ask = "%%step ask\nflow.suspend(data={'price': price}, allow=('resume', 'cancel', 'send_back'))"
        view = road.run(f"%%fresh price\n{READ}", ask, BUY)
        set_price(road, 120)

        assert road.queue.send_back(view["id"], comment="too dear", by="user:ann").status == 200
        (asked,) = road.ride(view["id"])["suspended"]

        assert (asked["data"], asked["drift"]) == ({"price": 120.0}, [])
        assert returned(road.answer(view["id"]), "buy") == 120.0
        assert problems(road) == []

    def test_with_then_rerun_before_the_step_runs_again(self, road: Road) -> None:
        set_price(road, 100)
        view = road.run(
            LOG,
            f"%%fresh price\n{READ}",
            "%%step ask\nlog('ask')\nif flow.context.run.runs == 1:\n    flow.suspend(then='rerun')\nprice",
        )
        set_price(road, 120)
        again = road.answer(view["id"])
        assert (again["state"], road.log()) == ("suspended", ["ask"])

        assert returned(road.answer(view["id"]), "ask") == 120.0
        assert road.log() == ["ask", "ask"]


class TestTheRecord:
    @pytest.mark.parametrize("price", [100.5, 120])
    def test_what_a_fresh_cell_found_cannot_be_changed_unnoticed(self, road: Road, price: float) -> None:
        view = ordered(road)
        set_price(road, price)
        road.answer(view["id"])

        def change(notebook: dict[str, Any]) -> None:
            facts_in(notebook, "fresh")["checks"][0]["new"] = "99.0"

        assert problems(road) == []
        assert any("the result of running it again was changed" in each for each in problems(road, change))

    def test_nor_that_it_was_asked_again(self, road: Road) -> None:
        view = ordered(road)
        set_price(road, 120)
        road.answer(view["id"])

        def change(notebook: dict[str, Any]) -> None:
            facts_in(notebook, "suspension")["question"]["drift"][0]["old"] = "119.0"

        assert "step ask: what had changed was changed" in problems(road, change)

    def test_both_values_stand_in_it(self, road: Road) -> None:
        view = ordered(road)
        set_price(road, 120)
        view = road.answer(view["id"])
        set_price(road, 120.5)
        records = road.answer(view["id"])["decisions"]
        report = make_report(road.queue, view["id"])

        # Approved, asked again, approved again, and checked when that took effect.
        assert [bool(each.get("decision")) for each in records] == [True, False, True, True, False]
        assert report.problems == []
        for text in ("asked again", "100.0 has become 120.0 (20% more)", "checked when the answer took effect"):
            assert text in report.html
        found = [[(one["old"], one["new"]) for one in each.get("checks", [])] for each in records]
        assert found == [[], [("100.0", "120.0")], [], [("120.0", "120.5")], []]
        assert [[one["value"] for one in each.get("fresh", [])] for each in records[:3]] == [
            ["100.0"],
            ["120.0"],
            ["120.0"],
        ]


class TestOtherChoices:
    def test_fail_ends_it_and_retry_uses_the_answer_if_it_holds_again(self, road: Road) -> None:
        view = ordered(road, "%%fresh price --on-drift fail")
        set_price(road, 120)

        failed = road.answer(view["id"])

        assert (failed["state"], failed["reason"]["kind"]) == ("failed", "drift")
        assert failed["error"]["type"] == "Drift"
        assert "100.0 has become 120.0" in failed["error"]["message"]
        assert problems(road) == []
        set_price(road, 100)
        road.retry(view["id"])
        assert returned(road.ride(view["id"]), "buy") == 100.0

    @pytest.mark.slow
    def test_a_retry_compares_with_what_was_shown(self, road: Road) -> None:
        view = ordered(road, "%%fresh price --on-drift=fail")
        set_price(road, 120)
        road.answer(view["id"])

        road.retry(view["id"])

        assert road.ride(view["id"])["reason"]["kind"] == "drift"

    def test_go_notes_it(self, road: Road) -> None:
        view = ordered(road, "%%fresh price --on-drift go")
        set_price(road, 120)

        ended = road.answer(view["id"])

        assert returned(ended, "buy") == 120.0
        assert "checked" in audit(road, view)
        assert "100.0 \\u2192 120.0" in shown(road.output())
        assert problems(road) == []


class TestWhenItRunsAgain:
    def test_not_after_the_clock(self, road: Road) -> None:
        set_price(road, 100)
        view = road.run(
            LOG,
            f"%%fresh price\nlog('look')\n{READ}",
            "%%step nap\nflow.sleep('1h')",
            "%%step ask\nflow.suspend(on_timeout='resume', default=1)",
            BUY,
        )
        set_price(road, 120)
        for _ in range(2):
            road.let_time_pass(view, hours=25)
            view = road.ride(view["id"])

        assert (view["state"], returned(view, "buy"), road.log()) == ("completed", 100.0, ["look"])

    def test_after_each_later_answer_and_compared_with_the_last_value(self, road: Road) -> None:
        view = ordered(road, "%%fresh price --tolerance 10", "%%step second\nflow.suspend()")
        for price in (109, 118):
            set_price(road, price)
            view = road.answer(view["id"])

        assert (view["state"], returned(view, "buy")) == ("completed", 118.0)

    def test_a_cell_below_the_question_runs_in_its_place_only(self, road: Road) -> None:
        set_price(road, 100)
        view = road.run(LOG, "%%step ask\nflow.suspend()", f"%%fresh price\nlog('look')\n{READ}", BUY)
        assert road.log() == []

        assert returned(road.answer(view["id"]), "buy") == 100.0
        assert road.log() == ["look"]

    def test_after_a_suspend_from_outside(self, road: Road) -> None:
        set_price(road, 100)
        execution = road.start(
            f"%%fresh price\n{READ}",
            "%%step work\nimport urllib.request\n1",
            "from pauseflow_nb.kernel.current import get_session",
            BUY,
        )
        road.queue.suspend(execution, by="user:ann")
        view = road.ride(execution)
        # It takes effect before the first cell, so the fresh cell has yet to run.
        assert (view["state"], view["suspended"][0]["kind"]) == ("suspended", "operator")

        assert returned(road.answer(execution), "buy") == 100.0


class TestCrashes:
    def test_between_the_fresh_cell_and_the_next_it_is_not_checked_again(self, road: Road) -> None:
        """The answer stands, and so does the value that was found after it."""
        set_price(road, 100)
        view = road.run(LOG, f"%%fresh price --tolerance 1\nlog('look')\n{READ}", ASK, f"import os\n{DIE_ONCE}", BUY)
        set_price(road, 100.5)

        ended = road.answer(view["id"])

        assert (ended["state"], returned(ended, "buy")) == ("completed", 100.5)
        assert road.log() == ["look", "look"]
        assert "crashed" in audit(road, view)
        assert problems(road) == []

    def test_without_checkpoints_it_runs_again_and_compares_with_what_was_shown(self, road: Road) -> None:
        set_price(road, 100)
        path = road.notebook(LOG, f"%%fresh price\nlog('look')\n{READ}", ASK, f"import os\n{DIE_ONCE}", BUY)
        options = RunOptions(cwd=str(road.folder), checkpoint="pause")
        view = road.ride(start_attached(road.queue, plan(str(path), None, {}, options)))

        again = road.answer(view["id"])

        # The cell that died has changed the price.
        assert [each["new"] for each in again["suspended"][0]["drift"]] == ["500.0"]
        assert road.log() == ["look", "look", "look"]

    def test_within_the_fresh_cell_it_runs_again(self, road: Road) -> None:
        set_price(road, 100)
        die = "if open('price').read() == '101':\n    open('price', 'w').write('102')\n    os.kill(os.getpid(), 9)"
        view = road.run("import os", f"%%fresh price --tolerance 5\n{die}\n{READ}", ASK, BUY)
        set_price(road, 101)

        assert returned(road.answer(view["id"]), "buy") == 102.0


class TestDeadlines:
    @pytest.mark.parametrize(("on_timeout", "state"), [("cancel", "cancelled"), ("fail", "failed")])
    def test_one_that_passes_meanwhile_takes_effect(self, road: Road, on_timeout: str, state: str) -> None:
        set_price(road, 100)
        view = road.run(f"%%fresh price\n{READ}", f"%%step ask\nflow.suspend('1h', on_timeout='{on_timeout}')", BUY)
        set_price(road, 120)
        assert road.queue.resume(view["id"], by="user:ann").status == 200
        road.let_time_pass(view, hours=2)

        ended = road.ride(view["id"], until_pause=False)

        assert (ended["state"], ended["reason"]["kind"]) == (state, "timeout")
        assert problems(road) == []

    def test_one_that_passes_after_the_notebook_has_refused_an_answer_is_what_was_decided(self, road: Road) -> None:
        even = (
            "from pydantic import BaseModel, field_validator\n"
            "class Amount(BaseModel):\n    n: int\n"
            "    @field_validator('n')\n    @classmethod\n    def even(cls, n):\n"
            "        if n % 2: raise ValueError('must be even')\n        return n"
        )
        view = road.run(even, "%%step ask\nflow.suspend('1h', schema=Amount)", "%%step buy\nsteps.ask.data.n")
        assert road.queue.resume(view["id"], data={"n": 3}, by="user:ann").status == 200
        road.let_time_pass(view, hours=2)

        ended = road.ride(view["id"], until_pause=False)

        assert (ended["state"], ended["reason"]["kind"]) == ("cancelled", "timeout")
        assert "Timed out by the clock" in json.dumps(road.output())
        assert problems(road) == []


class TestSeveral:
    def test_all_run_again_and_all_that_drift_are_shown(self, road: Road) -> None:
        set_price(road, 100)
        view = road.run(
            f"%%fresh price\n{READ}",
            "%%fresh rows --tolerance 5\nint(price) + 1",
            "%%fresh code\n{'name': 'ACME', 'price': price}",
            "%%fresh noted --on-drift go\nprice * 2",
            ASK,
            BUY,
        )
        set_price(road, 103)

        again = road.answer(view["id"])

        assert [each["name"] for each in again["suspended"][0]["drift"]] == ["price", "code", "noted"]
        assert again["suspended"][0]["drift"][1]["rows"] == [
            {"place": "name", "old": "ACME", "new": "ACME", "changed": False},
            {"place": "price", "old": "100.0", "new": "103.0", "changed": True},
        ]
        assert returned(road.answer(view["id"]), "buy") == 103.0
        assert problems(road) == []

    def test_fail_wins_over_ask(self, road: Road) -> None:
        set_price(road, 100)
        view = road.run(f"%%fresh price\n{READ}", "%%fresh other --on-drift fail\nprice", ASK, BUY)
        set_price(road, 120)

        assert road.answer(view["id"])["reason"]["kind"] == "drift"


FRAME = """\
import pandas as pd, numpy as np
price = float(open('price').read())
frame = pd.DataFrame({'symbol': ['A', 'B'], 'price': [1.0, price], 'note': [np.nan, None]})
"""


class TestFramesAndArrays:
    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "value",
        [
            "frame",
            pytest.param("np.array([[np.nan, price]])", marks=pytest.mark.slow),
            pytest.param("pl.from_pandas(frame)", marks=pytest.mark.slow),
        ],
    )
    def test_within_the_tolerance_and_beyond(self, road: Road, value: str) -> None:
        set_price(road, 100)
        view = road.run(
            "import polars as pl", f"%%fresh book --tolerance 1%\n{FRAME}{value}", ASK, ASK.replace("ask", "sign"), BUY
        )
        set_price(road, 100.9)
        view = road.answer(view["id"])
        assert list(view["steps"]) == ["ask", "sign"]
        set_price(road, 150)

        again = road.answer(view["id"])

        (drift,) = again["suspended"][0]["drift"]
        changed = [(row["old"], row["new"]) for row in drift["rows"] if row["changed"]]
        assert changed == [("100.9", "150.0")]
        assert returned(road.answer(view["id"]), "buy") == 150.0

    @pytest.mark.slow
    def test_a_huge_one_is_kept_as_a_digest(self, road: Road) -> None:
        set_price(road, 100)
        big = f"{FRAME}big = np.arange(2_000_000.0)\nbig[77] = price\nbig"
        view = road.run(f"%%fresh book --tolerance 1%\n{big}", ASK, BUY)
        assert (road.folder / "out.ipynb").stat().st_size < 50_000
        set_price(road, 101)

        again = road.answer(view["id"])

        (drift,) = again["suspended"][0]["drift"]
        assert "too large to be compared value by value" in drift["reason"]
        assert len(json.dumps(again["suspended"])) < 10_000
        assert returned(road.answer(view["id"]), "buy") == 101.0


class TestErrors:
    def test_an_error_counts_as_drift_and_is_said(self, road: Road) -> None:
        view = ordered(road)
        (road.folder / "price").unlink()

        again = road.answer(view["id"])

        (drift,) = again["suspended"][0]["drift"]
        assert drift["reason"].startswith("the cell failed when it ran again: FileNotFoundError")
        assert drift["old"] == "100.0"

    def test_an_error_is_no_value_to_compare_with(self, road: Road) -> None:
        view = ordered(road)
        (road.folder / "price").unlink()
        road.answer(view["id"])
        set_price(road, 100)

        assert returned(road.answer(view["id"]), "buy") == 100.0

    def test_in_its_place_it_fails_the_notebook(self, road: Road) -> None:
        view = road.run("%%fresh price\n1 / 0", ASK)

        assert (view["state"], view["error"]["type"]) == ("failed", "ZeroDivisionError")

    def test_a_value_that_cannot_be_compared_fails_in_its_place(self, road: Road) -> None:
        view = road.run("%%fresh price\nobject()", ASK)

        assert (view["state"], view["error"]["type"]) == ("failed", "NotComparable")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("%%fresh price --tolerance abc\n1", "--tolerance must be a number, such as 0.5, or a percentage, such as 1%, not 'abc'"),
        ("%%fresh price --tolerance 0,5\n1", "write 0.5"),
        ("%%fresh price --tolerance 1 %\n1", "a percentage is one word: write it without a space, such as `--tolerance 1%`"),
        ("%%fresh price --tolerance -1\n1", "--tolerance must be 0 or more"),
        ("%%fresh price --tolerance nan\n1", "--tolerance must be 0 or more"),
        ("%%fresh price --tolerence 1%\n1", "there is no option --tolerence: did you mean --tolerance?"),
        ("%%fresh price --retries 3\n1", "there is no option --retries; there are --tolerance, --on-drift"),
        ("%%fresh price --on-drift aks\n1", "--on-drift must be ask, fail or go, not 'aks': did you mean ask?"),
        ("%%fresh\n1", "a fresh cell needs a name: write `%%fresh NAME`"),
        ("%%fresh a price\n1", "a name is one word: write `%%fresh a_price`"),
        ("%%fresh ask\n1", "cell 2 has this name already"),
        ("%%fresh other\n1", "cell 3 has this name already"),
        ("%%fresh price\nx = 1", "there is nothing to compare"),
        ("%%fresh price\n# soon", "there is nothing to compare"),
        ("%%frehs price\n1", "did you mean `%%fresh NAME`?"),
        ("%fresh price\n1", "`%fresh` needs two percent signs"),
        ("x = 1\n%%fresh price\nx", "`%%fresh` must stand in the first line of its cell"),
    ],
)  # fmt: skip
def test_a_bad_header_is_reported_before_anything_runs(road: Road, source: str, problem: str) -> None:
    with pytest.raises(InvalidStep) as caught:
        road.start("%%step ask\n1", "%%fresh other\n1", source)

    assert problem in str(caught.value)
