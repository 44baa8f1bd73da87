"""The executed notebook keeps every question with what was decided, and what it has shown goes on over pauses."""

import json
from typing import Any

import nbformat
import pytest
from roads.rider import Rider, shown

from pauseflow_nb.engine.clock import Clock

pytestmark = pytest.mark.acceptance

ASK = "%%step ask\nlinks = flow.suspend('1h', title='Ship <b>it</b>?', message='Look & see', data={'auc': 0.9})"


def suspensions(rider: Rider, cell: int) -> list[Any]:
    outputs = rider.output().cells[cell].outputs
    noted = [output.metadata.get("pauseflow", {}) for output in outputs if output.output_type == "display_data"]
    return [each for each in noted if each.get("kind") == "suspension"]


def plain(rider: Rider, cell: int) -> str:
    return "\n".join(output.get("data", {}).get("text/plain", "") for output in rider.output().cells[cell].outputs)


def test_the_question_stays_with_the_answer_who_when_and_comment(rider: Rider) -> None:
    view = rider.run(ASK)
    rider.answer(view["id"], {"size": "<script>alert(1)</script>", "comment": "Fine & good"})

    (record,) = suspensions(rider, 1)
    question, decision = record["question"], record["decision"]
    assert (question["title"], question["message"], question["data"]) == ("Ship <b>it</b>?", "Look & see", {"auc": 0.9})
    assert (decision["action"], decision["by"], decision["comment"]) == ("resume", "user:ann", "Fine & good")
    assert decision["answer"] == {"size": "<script>alert(1)</script>", "comment": "Fine & good"}
    assert decision["at"].startswith("20")
    assert "Ship <b>it</b>?\nLook & see" in plain(rider, 1)
    assert "Approved by ann at 20" in plain(rider, 1)
    html = next(o.data["text/html"] for o in rider.output().cells[1].outputs if "text/html" in o.get("data", {}))
    assert "Ship &lt;b&gt;it&lt;/b&gt;?" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html
    assert "/pauseflow/resume/" not in json.dumps(rider.output())


def test_several_questions_in_one_step_all_stay_even_if_it_clears_its_outputs(rider: Rider) -> None:
    from pauseflow_nb.engine.progress_events import Event

    step = (
        "%%step ask\nfrom IPython.display import clear_output\nn = flow.pause('1h', title='First?')\nclear_output()\n"
        "m = flow.pause('1h', title='Second?')\nlinks = flow.suspend('1h', title='Third?')"
    )
    execution = rider.start(step)

    def answer(event: Event) -> None:
        if event.kind == "suspended":
            (waits,) = event.data["view"]["suspended"]
            rider.queue.resume(execution, data={"to": waits["title"]}, by="user:ann")

    view = rider.ride(execution, until_pause=False, on_event=answer)

    assert view["state"] == "completed", view["error"]
    found = suspensions(rider, 1)
    assert [each["question"]["title"] for each in found] == ["First?", "Second?", "Third?"]
    assert [each["decision"]["answer"] for each in found] == [{"to": "First?"}, {"to": "Second?"}, {"to": "Third?"}]
    assert len({each["ordinal"] for each in found}) == 3


def test_earlier_runs_of_a_step_keep_theirs_folded(rider: Rider) -> None:
    step = (
        "%%step ask\nrun = flow.context['run']['runs']\n"
        "if run < 3: links = flow.suspend('1h', title=f'Round {run}?', then='rerun')"
    )
    execution = str(rider.run(step)["id"])
    rider.answer(execution, {"n": 1})
    assert "Round 2?" in plain(rider, 1)
    rider.answer(execution, {"n": 2})

    (earlier,) = [
        output.metadata.pauseflow
        for output in rider.output().cells[1].outputs
        if output.metadata.get("pauseflow", {}).get("kind") == "earlier"
    ]
    asked = [(each["run"], each["question"]["title"], each["decision"]["answer"]) for each in earlier["suspensions"]]
    assert asked == [(1, "Round 1?", {"n": 1}), (2, "Round 2?", {"n": 2})]
    html = next(o.data["text/html"] for o in rider.output().cells[1].outputs if "<details>" in str(o.get("data", {})))
    assert "<summary>2 earlier decisions</summary>" in html
    assert plain(rider, 1).index("Run 1\nRound 1?") < plain(rider, 1).index("Run 2\nRound 2?")


def test_several_approvals_are_all_named(rider: Rider) -> None:
    view = rider.run("%%step ask\nlinks = flow.suspend('1h', title='Ship it?', approvals=2)")
    rider.queue.resume(view["id"], by="user:ann", data={"comment": "yes"})
    rider.queue.resume(view["id"], by="user:bob", data={"comment": "and yes"})
    rider.ride(view["id"])

    (record,) = suspensions(rider, 1)
    assert [(each["by"], each["comment"]) for each in record["decision"]["approvals"]] == [
        ("user:ann", "yes"),
        ("user:bob", "and yes"),
    ]
    assert "ann at " in plain(rider, 1)
    assert "(“and yes”)" in plain(rider, 1)


def test_silence_is_told_with_what_it_did(rider: Rider) -> None:
    ask = "%%step ask\nlinks = flow.suspend('1h', title='Ship it?', on_timeout='resume', default={'ship': False})"
    view = rider.run(ask)
    rider.let_time_pass(view, 2)
    Clock(rider.queue).sweep()
    rider.ride(view["id"])

    (record,) = suspensions(rider, 1)
    assert (record["decision"]["by"], record["decision"]["answer"]) == ("clock", {"ship": False})
    assert "Timed out by the clock at " in plain(rider, 1)


def test_a_cancel_keeps_the_question_and_says_why(rider: Rider) -> None:
    view = rider.run(ASK)
    rider.queue.cancel(view["id"], by="user:ann")
    Clock(rider.queue).sweep()

    (record,) = suspensions(rider, 1)
    assert record["question"]["title"] == "Ship <b>it</b>?"
    assert (record["decision"]["action"], record["decision"]["by"]) == ("cancel", "user:ann")
    assert "Cancelled by ann at " in plain(rider, 1)


def test_an_answer_that_the_notebook_refused_stays_with_the_one_that_it_took(rider: Rider) -> None:
    form = (
        "from pydantic import BaseModel, field_validator\nclass Order(BaseModel):\n    n: int\n"
        "    @field_validator('n')\n    @classmethod\n    def even(cls, n):\n"
        "        if n % 2:\n            raise ValueError('must be even')\n        return n"
    )
    view = rider.run(form, "%%step ask\nlinks = flow.suspend('1h', title='How many?', schema=Order)")
    assert rider.answer(view["id"], {"n": 3})["state"] == "suspended"
    (waiting,) = suspensions(rider, 2)
    assert (waiting["decision"], waiting["refused"][0]["answer"]) == (None, {"n": 3})
    rider.answer(view["id"], {"n": 4})

    (record,) = suspensions(rider, 2)
    assert record["decision"]["answer"] == {"n": 4}
    assert record["refused"][0]["by"] == "user:ann"
    assert "must be even" in plain(rider, 2)


def test_a_password_is_not_written_down(rider: Rider) -> None:
    form = "from pydantic import BaseModel, SecretStr\nclass Login(BaseModel):\n    name: str\n    word: SecretStr"
    view = rider.run(form, "%%step ask\nlinks = flow.suspend('1h', schema=Login)", "%%step last\n1")
    rider.answer(view["id"], {"name": "ann", "word": "hunter2"})

    (record,) = suspensions(rider, 2)
    assert record["decision"]["answer"] == {"name": "ann", "word": "***"}
    assert "hunter2" not in json.dumps(rider.output())


def test_an_answer_that_no_kernel_could_use_is_recorded_all_the_same(rider: Rider) -> None:
    view = rider.run(ASK, "%%step last\n1")
    snapshots = next((rider.queue.settings.data_dir / "files").glob("*/snapshots"))
    hidden = snapshots.rename(snapshots.with_name("hidden"))
    failed = rider.answer(view["id"], {"sure": True})
    Clock(rider.queue).sweep()

    assert (failed["state"], failed["reason"]["kind"]) == ("failed", "environment")
    (record,) = suspensions(rider, 1)
    assert (record["decision"]["by"], record["decision"]["answer"]) == ("user:ann", {"sure": True})

    hidden.rename(snapshots)
    rider.retry(view["id"])
    assert rider.ride(view["id"])["state"] == "completed"
    assert "Failed" not in shown(rider.output())


def test_a_display_made_before_a_pause_is_updated_after_it(rider: Rider) -> None:
    events: list[Any] = []
    made = "h = display('A', display_id='mine')\ndisplay('also', display_id='mine');"
    execution = str(rider.run(made, ASK, "h.update('B')\nfrom IPython.display import update_display")["id"])
    rider.queue.resume(execution, by="user:ann")
    view = rider.ride(execution, on_event=events.append)

    assert view["state"] == "completed"
    outputs = rider.output().cells[1].outputs
    assert [output.data["text/plain"] for output in outputs] == ["'B'", "'B'"]
    assert [event.data["cell"] for event in events if event.kind == "updated"] == [1, 1]
    stored = nbformat.reads(rider.queue.document(execution).decode(), 4)
    assert [output.data["text/plain"] for output in stored.cells[1].outputs] == ["'B'", "'B'"]


def test_each_cell_is_told_with_how_many_are_done(rider: Rider) -> None:
    events: list[Any] = []
    execution = rider.start("1", "2", "3")

    rider.ride(execution, on_event=events.append)

    cells = [event.data for event in events if event.kind == "cell"]
    assert [each["cell"] for each in cells] == [0, 1, 2, 3]
    assert [each["done"] for each in cells] == [1, 2, 3, 4]
    assert {each["total"] for each in cells} == {4}


def test_widgets_go_on_after_a_pause(rider: Rider) -> None:
    made = (
        "import ipywidgets as W\nslider, out, log = W.IntSlider(3), W.Output(), []\nbox = W.VBox([slider, out])\n"
        "display(box)\nslider.observe(lambda change: log.append(change['new']), 'value')\nwith out: print('first')"
    )
    used = "slider.value = 7\nwith out: print('second')"
    rest = "%%step last\n[log, box.children[0] is slider, slider.model_id in W.Widget.widgets]"
    execution = str(rider.run(made, ASK, used, rest)["id"])
    view = rider.answer(execution)

    assert view["state"] == "completed", view["error"]
    assert view["steps"]["last"]["exports"]["$return_value"] == [[7], True, True]
    state = rider.output().metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    (slider,) = [each.state for each in state.values() if each.model_name == "IntSliderModel"]
    (out,) = [each.state for each in state.values() if each.model_name == "OutputModel"]
    assert slider["value"] == 7
    assert [output["text"] for output in out["outputs"]] == ["first\nsecond\n"]
    view_of_box = rider.output().cells[1].outputs[0].data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert state[view_of_box].model_name == "VBoxModel"
