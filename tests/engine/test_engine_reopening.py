"""An answer does not count after all: its question opens again, whatever the attempts of the segment did before."""

from typing import Any

import pytest
from engine.stage import ME, Stage

from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.errors import KernelDied
from pauseflow_nb.protocol import Briefing, PauseQuestion, SuspensionRequest
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.observer import Observer, SegmentEnd

_PAUSE = PauseQuestion("last", 1, 1001, SuspensionRequest("pause", on_timeout="fail"))
_CHECK = {"name": "price", "is_drift": True, "reason": "7 became 8", "old": "7", "new": "8", "rows": []}
_ENDS: dict[str, dict[str, Any]] = {
    "drifted": {"checks": [_CHECK]},
    "refused": {"errors": [{"path": ["n"], "message": "must be even"}]},
}


class Attempts:
    """Plays a segment whose first kernel dies in a `flow.pause`, and whose second does not take the answer."""

    def __init__(self, stage: Stage, end: str, *, is_answered: bool) -> None:
        self._stage, self._end, self._is_answered = stage, end, is_answered
        self._count = 0

    def __call__(self, _document: Any, briefing: Briefing, *, observer: Observer, **_options: Any) -> SegmentEnd:
        self._count += 1
        if self._count > 1:
            return SegmentEnd(self._end, briefing.first_cell, **_ENDS[self._end])  # type: ignore[arg-type]
        observer.on_step_start("last", 1, 1, briefing.first_cell)
        assert observer.find_answer(_PAUSE, briefing.first_cell) is None
        at_step: dict[str, Any] = {"segment": briefing.segment, "step": "last"}
        # A link of a suspension that the step has asked for, too.
        assert self._stage.send(briefing.execution, **at_step)[0] == 202
        if self._is_answered:
            assert self._stage.send(briefing.execution, **at_step, ordinal=1001)[0] == 200
        raise KernelDied(-9)


@pytest.mark.every(2)
@pytest.mark.parametrize("is_answered", [False, True])
@pytest.mark.parametrize("end", _ENDS)
def test_it_is_the_question_that_was_answered_and_no_pause_after_it(stage: Stage, end: str, is_answered: bool) -> None:
    execution = stage.suspended(seconds=3600.0)
    stage.send(execution)
    run = Attempts(stage, end, is_answered=is_answered)

    assert Segments(stage.queue, ME, run=run).run(execution, 1, Control()) == "ended"

    view = stage.queue.view(execution)
    assert (view["state"], [one["step"] for one in view["suspended"]]) == ("suspended", ["ask"])
    assert "ignored" in stage.whats(execution), "what came early was judged"
    assert stage.send(execution) == (
        200,
        {"execution": execution, "step": "ask", "state": "queued", "action": "resume"},
    )
    assert stage.play(execution) == "ended"
    assert stage.queue.state(execution) == "completed"
