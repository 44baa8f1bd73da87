"""A kernel that is kept over pauses: the next segments go on in it, with what no snapshot holds."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from runner.conftest import Rehearsal

from pauseflow_nb.engine.settling import make_envelope
from pauseflow_nb.protocol import Wake
from pauseflow_nb.runner.kernels.keeper import Keeper
from pauseflow_nb.runner.observer import SegmentEnd

CELLS = (
    "from pydantic import BaseModel, field_validator\nfrom pauseflow_nb import flow, steps",
    "%%setup\ntoken = object()",
    "%%step make\nsame = token\nnumbers = (n for n in range(9))\nnext(numbers)",
    """\
class Answer(BaseModel):
    word: str
    @field_validator('word')
    def fits(cls, word):
        if word == 'no':
            raise ValueError('not this one')
        return word""",
    "%%step ask\nlinks = flow.suspend('1h', schema=Answer)",
    "%%step sleep\nlinks = flow.delay(1)\nnext(numbers)",
    "%%step use\n[next(numbers), type(steps.ask.data) is Answer, steps.ask.data.word, token is same]",
)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    yield made
    made.close()


def begin(rehearse: Any, *cells: str) -> Rehearsal:
    rehearsal: Rehearsal = rehearse(*cells)
    rehearsal.briefing = replace(rehearsal.briefing, may_keep=True)
    return rehearsal


def run_next(rehearsal: Rehearsal, keeper: Keeper, wake: Wake | None = None) -> SegmentEnd:
    return rehearsal.run(wake=wake, client=keeper.take("e1"), keep=partial(keeper.keep, "e1"))


def answer(word: str) -> Wake:
    return Wake("ask", "suspend", callback=make_envelope({"word": word}, "user:ann"), by="user:ann")


def test_segments_go_on_in_it_until_nothing_needs_it(rehearse: Any, keeper: Keeper) -> None:
    rehearsal = begin(rehearse, *CELLS)
    asked = run_next(rehearsal, keeper)
    refused = run_next(rehearsal, keeper, answer("no"))
    slept = run_next(rehearsal, keeper, answer("yes"))
    kept = keeper.look_after()
    ended = run_next(rehearsal, keeper, Wake("sleep", "delay"))

    assert [end.kind for end in (asked, refused, slept, ended)] == ["suspended", "refused", "suspended", "completed"]
    assert asked.outcome is not None
    assert [(each.name, each.cell) for each in asked.outcome.lost] == [("numbers", 2)]
    assert "not this one" in str(refused.errors)
    assert "numbers (generator" in rehearsal.text(4)
    assert kept == (["e1"], [])
    assert rehearsal.text(6).startswith("[2, True, 'yes', True]")
    assert len(set(rehearsal.log.pids)) == 1
    assert [cell.execution_count for cell in rehearsal.document.cells] == [1, 2, 3, 4, 5, 6, 7]
    assert keeper.look_after() == ([], [])


def test_one_that_died_is_not_handed_out(rehearse: Any, keeper: Keeper, wait_until: Any) -> None:
    rehearsal = begin(rehearse, *CELLS)
    run_next(rehearsal, keeper)
    os.kill(rehearsal.log.pids[0], signal.SIGKILL)

    wait_until(lambda: keeper.look_after() == ([], ["e1"]), description="its end is noticed")
    assert keeper.take("e1") is None


def test_a_pause_that_needs_no_kernel_keeps_none(rehearse: Any, keeper: Keeper) -> None:
    cells = ("from pauseflow_nb import flow", "%%step ask\nnumbers = (n for n in range(9))\nlinks = flow.suspend('1h')")
    rehearsal = begin(rehearse, *cells)

    assert run_next(rehearsal, keeper).kind == "suspended"
    assert keeper.take("e1") is None


def test_the_step_fails_with_a_reason_if_no_kernel_may_be_kept(rehearse: Any) -> None:
    rehearsal: Rehearsal = rehearse(*CELLS)
    rehearsal.briefing = replace(rehearsal.briefing, unkept="no further kernel can be kept")
    end = rehearsal.run()

    assert (end.kind, end.failure.type if end.failure else None) == ("failed", "Unsaveable")
    assert "(no further kernel can be kept). Make it in a `%%setup` cell" in str(end.failure)


def test_it_has_room_for_so_many(keeper: Keeper, rehearse: Any) -> None:
    rehearsal = begin(rehearse, *CELLS)
    keeper.most = 1
    before = keeper.has_room()
    run_next(rehearsal, keeper)

    assert (before, keeper.has_room()) == (True, False)
