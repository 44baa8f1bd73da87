"""Going back: retry from a step or with an edited notebook, and siblings that are answered differently."""

import pytest
from roads.rider import LOG, Rider, returned

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.errors import CannotRetry, InvalidStep

pytestmark = pytest.mark.acceptance

LOAD = "%%step load\nlog('load')\ntable = [1, 2, 3]\nflow.export('rows', len(table))"
TRAIN = "%%step train\nlog('train')\nif factor < 0: raise ValueError('negative')\ntotal = sum(table) * factor\ntotal"
REPORT = "%%step report\nlog('report')\nf'{total} from {steps.load.rows} rows'"


def test_retry_with_an_edited_notebook_goes_on_from_the_last_checkpoint(rider: Rider) -> None:
    execution = rider.start(LOG, LOAD, "factor = -1", TRAIN, REPORT)
    assert rider.ride(execution)["state"] == "failed"
    rider.notebook(LOG, LOAD, "factor = 10", TRAIN, REPORT, name="edited.ipynb")

    restart = rider.retry(execution, notebook=str(rider.folder / "edited.ipynb"))
    assert (restart.after, restart.because) == ("load", None)
    view = rider.ride(execution)

    assert view["state"] == "completed"
    assert returned(view, "report") == "60 from 3 rows"
    assert rider.log() == ["load", "train", "train", "report"]
    assert "factor = 10" in [cell.source for cell in rider.output().cells]


def test_a_changed_earlier_cell_is_found_before_anything_runs(rider: Rider) -> None:
    execution = rider.start(LOG, LOAD, "factor = 1", TRAIN, "%%step last\nlog('last')\n1 / 0")
    assert rider.ride(execution)["state"] == "failed"
    edited = ("#: a title", LOG, LOAD, "factor = 2", TRAIN, "%%step last\nlog('mended')\ntotal")
    rider.notebook(*edited, name="edited.ipynb")

    restart = rider.retry(execution, notebook=str(rider.folder / "edited.ipynb"))
    assert restart.after == "load"
    assert restart.again == ("train", "last")
    assert str(restart) == (
        "cell 4 was edited after it ran, so it continues after step 'load', at cell 5; "
        "these steps run again: train, last"
    )
    assert rider.log() == ["load", "train", "last"]
    view = rider.ride(execution)

    assert returned(view, "last") == 12
    assert rider.log() == ["load", "train", "last", "train", "mended"]
    assert rider.output().cells[1].source == "#: a title"


def test_retry_from_a_named_step_runs_it_and_all_that_follow_again(rider: Rider) -> None:
    execution = rider.start(LOG, LOAD, "factor = 1", TRAIN, REPORT + "\nflow.context.run.attempt")
    view = rider.ride(execution)
    assert (view["state"], returned(view, "report")) == ("completed", 1)

    rider.retry(execution, from_step="train")
    view = rider.ride(execution)

    assert (view["state"], returned(view, "report")) == ("completed", 2)
    assert view["steps"]["train"]["runs"] == 1
    assert rider.log() == ["load", "train", "report", "train", "report"]


def test_retry_from_the_first_step_starts_with_no_variables(rider: Rider) -> None:
    execution = rider.start(LOG, "%%step only\nlog('only')\nbefore = 'mark' in globals()\nmark = 1\nbefore")
    rider.ride(execution)
    rider.retry(execution, from_step="only")

    assert returned(rider.ride(execution), "only") is False


def test_a_rerun_that_failed_is_tried_again_with_what_the_run_before_left(rider: Rider) -> None:
    loop = "%%step loop\nn += 1\nif n == 2 and not os.path.exists('ok'): raise ValueError('second')\nif n < 3: flow.rerun(1, n)"
    execution = rider.start("import os\nn = 0", f"{loop}\n[n, flow.context.run.runs, flow.context.run.context]")
    assert rider.ride(execution, until_pause=False)["state"] == "failed"
    (rider.folder / "ok").touch()

    restart = rider.retry(execution)
    assert str(restart) == "it continues after the last run of step 'loop', at cell 3; these steps run again: loop"
    view = rider.ride(execution, until_pause=False)
    assert returned(view, "loop") == [3, 3, 2]
    assert view["usage"]["wakeups"] == 2


@pytest.mark.parametrize(("on_timeout", "state"), [("fail", "failed"), ("cancel", "cancelled")])
def test_retry_after_a_timeout_asks_again_with_the_variables_that_the_step_found(
    rider: Rider, on_timeout: str, state: str
) -> None:
    pause = f"flow.suspend('1h', on_timeout={on_timeout!r})"
    ask = f"%%step ask\nlog('ask')\nx += 1\ny += 1\n{pause}\nflow.context.run.attempt"
    execution = rider.start(LOG, "%%step before\nx = 1", "y = 1", ask, "%%step last\n[x, y]")
    rider.let_time_pass(rider.ride(execution), hours=2)
    Clock(rider.queue).sweep()
    view = rider.queue.view(execution)
    assert (view["state"], view["reason"]["kind"]) == (state, "timeout")

    assert str(rider.retry(execution)) == "it continues after step 'before', at cell 4; these steps run again: ask"
    rider.ride(execution)
    view = rider.answer(execution)
    assert (returned(view, "ask"), returned(view, "last")) == (2, [2, 2])
    assert rider.log() == ["ask", "ask"]


def test_retry_from_behind_an_answer_keeps_the_answer(rider: Rider) -> None:
    ask = "%%step ask\nlog('ask')\nflow.suspend(title='Go?')"
    execution = rider.start(LOG, ask, "%%step use\nlog('use')\nsteps.ask.data['n']")
    rider.ride(execution)
    assert returned(rider.answer(execution, {"n": 7}), "use") == 7

    rider.retry(execution, from_step="use")
    view = rider.ride(execution)

    assert returned(view, "use") == 7
    assert rider.log() == ["ask", "use", "use"]
    rider.retry(execution, from_step="ask")
    assert rider.ride(execution)["state"] == "suspended"
    assert returned(rider.answer(execution, {"n": 8}), "use") == 8


def test_a_fork_of_one_that_waits_is_answered_in_its_own_way(rider: Rider) -> None:
    ask = "%%step ask\nlog('ask')\nbig = list(range(1000))\nflow.suspend(title='Go?', data={'n': 1})"
    execution = rider.start(LOG, ask, "%%step use\nlog('use')\n[steps.ask.data, len(big), flow.context.id]")
    waiting = rider.ride(execution)
    sibling = rider.fork(execution, output=str(rider.folder / "other.ipynb"))
    copied = rider.queue.view(sibling)
    assert copied["state"] == "suspended"
    assert copied["suspended"][0]["data"] == {"n": 1}
    assert copied["suspended"][0]["resume_url"] != waiting["suspended"][0]["resume_url"]
    assert "Go?" in str(rider.output("other.ipynb").cells)

    first = rider.answer(execution, "yes")
    second = rider.answer(sibling, "no")

    assert returned(first, "use") == ["yes", 1000, execution]
    assert returned(second, "use") == ["no", 1000, sibling]
    assert rider.log() == ["ask", "use", "use"]
    for name in ("out.ipynb", "other.ipynb"):
        assert rider.output(name).metadata.papermill.exception is None
        assert "Approved by ann" in str(rider.output(name).cells)


def test_a_fork_from_a_step_leaves_its_source_alone(rider: Rider) -> None:
    execution = rider.start(LOG, LOAD, "factor = 1", TRAIN, REPORT)
    before = rider.ride(execution)
    sibling = rider.fork(execution, from_step="report")
    view = rider.ride(sibling)
    again = rider.ride(rider.fork(sibling, from_step="train"))

    assert rider.queue.view(execution) == before
    assert view["state"] == again["state"] == "completed"
    assert view["output"] == str(rider.folder / f"out.fork-{sibling}.ipynb")
    assert list(view["steps"]) == ["load", "train", "report"]
    assert rider.log() == ["load", "train", "report", "report", "train", "report"]


def test_what_makes_no_sense_is_refused_with_a_sentence(rider: Rider) -> None:
    execution = rider.start(LOG, "%%step ask\nflow.suspend()", "%%step later\n1")
    rider.ride(execution)

    with pytest.raises(CannotRetry, match="has not ended, it is suspended"):
        rider.retry(execution, from_step="ask")
    with pytest.raises(InvalidStep, match="'ask' has not ended"):
        rider.fork(execution, from_step="later")
    with pytest.raises(InvalidStep, match="no such step, only: ask, later"):
        rider.fork(execution, from_step="nope")
    rider.queue.cancel(execution, by="user:ann")
    with pytest.raises(CannotRetry, match="go back with --from STEP"):
        rider.retry(execution)
    with pytest.raises(CannotRetry, match="name the step"):
        rider.fork(execution)
