"""`flow.run_notebook`: steps that start notebooks and go on when these have ended."""

import threading
import time
from typing import Any

import pytest
from acceptance.processes import lab
from roads.rider import LOG, Rider, returned, shown

from pauseflow_nb.errors import AmbiguousSuspension, CannotSuspend, NotSuspended
from pauseflow_nb.execution import Execution
from pauseflow_nb.launching import RunOptions, plan

pytestmark = pytest.mark.acceptance

ASK = "%%step ask\nlog('ask')\nflow.suspend(title='Which?')"
GOT = "%%step got\n[region, steps.ask.data]"


def asking_child(rider: Rider, name: str = "child.ipynb") -> None:
    path = rider.notebook(LOG, "region = 'none'", ASK, GOT, name=name)
    tag_parameters(path, 2)


def tag_parameters(path: Any, cell: int) -> None:
    import nbformat

    found = nbformat.read(path, 4)
    found.cells[cell].metadata.tags = ["parameters"]
    nbformat.write(found, path)


BOTH = """%%step both
flow.run_notebook('child.ipynb', {'region': 'north'}, name='north')
flow.run_notebook('child.ipynb', {'region': 'south'}, name='south')"""
PARENT = (
    BOTH,
    "%%step after\n[steps.both.north.got['$return_value'], steps.both['south']['got']['$return_value']]",
)


def test_a_step_waits_for_its_notebook_and_sees_its_exports(rider: Rider) -> None:
    path = rider.notebook("n = 1", "%%step square\nflow.export('half', n / 2)\nn * n", name="child.ipynb")
    tag_parameters(path, 1)
    view = rider.run(
        "%%step run\nname = flow.run_notebook('child.ipynb', {'n': 7})",
        "%%step use\n[name, steps.run.child.square['$return_value'], steps.run['child']['square']['half']]",
    )

    assert (view["state"], returned(view, "use")) == ("completed", ["child", 49, 3.5])
    (child,) = view["steps"]["run"]["exports"]["$notebooks"].values()
    child = rider.queue.view(child["id"])
    assert (child["state"], child["parent"], child["parameters"]) == ("completed", view["id"], {"n": 7})
    assert "Continued by the end of its notebooks" in shown(rider.output())


@pytest.mark.every(2)
@pytest.mark.parametrize("first", ["north", "south"])
def test_two_notebooks_of_one_step_are_answered_in_either_order(rider: Rider, first: str) -> None:
    asking_child(rider)
    view = rider.run(*PARENT)
    execution = view["id"]
    second = "south" if first == "north" else "north"

    assert view["state"] == "suspended"
    assert [(each["path"], each["kind"]) for each in view["suspended"]] == [
        (["both"], "notebook"),
        (["both", "ask"], "suspend"),
        (["both", "ask"], "suspend"),
    ]
    assert [each["address"] for each in view["suspended"]] == ["both", "north.ask", "south.ask"]
    assert view["suspended"][0]["resume_url"] is None
    with pytest.raises(AmbiguousSuspension, match=r"north\.ask, south\.ask"):
        rider.queue.resume(execution, data=1, by="user:ann")
    with pytest.raises(AmbiguousSuspension):
        rider.queue.resume(execution, step="ask", data=1, by="user:ann")

    view = rider.answer(execution, first, step=f"{first}.ask")
    assert view["state"] == "suspended"
    assert len(view["suspended"]) == 2
    view = rider.answer(execution, second)

    assert view["state"] == "completed"
    assert returned(view, "after") == [["north", "north"], ["south", "south"]]
    assert rider.log() == ["ask", "ask"]


def test_three_levels_are_answered_by_what_suspended_shows(rider: Rider) -> None:
    asking_child(rider, "low.ipynb")
    rider.notebook("%%step down\nflow.run_notebook('low.ipynb')", name="middle.ipynb")
    view = rider.run(
        "%%step top\nflow.run_notebook('middle.ipynb')",
        "%%step last\nsteps.top.middle.down.low.ask['$resume_data'].body",
    )

    deepest = view["suspended"][-1]
    assert (deepest["path"], deepest["title"]) == (["top", "down", "ask"], "Which?")
    assert deepest["address"] == "middle.low.ask"
    Execution(rider.queue, view["id"]).resume(deepest, {"x": 1})
    view = rider.ride(view["id"])
    assert (view["state"], view["suspended"]) == ("completed", [])
    exported = view["steps"]["top"]["exports"]["middle"]["down"]["low"]
    assert exported["got"]["$return_value"] == ["none", {"x": 1}]


def test_a_notebook_that_fails_fails_the_step(rider: Rider) -> None:
    rider.notebook("%%step broken\n1 / 0", name="child.ipynb")
    view = rider.run("%%step run\nflow.run_notebook('child.ipynb')", "%%step after\n1")

    assert (view["state"], view["reason"]["kind"]) == ("failed", "error")
    assert view["error"]["type"] == "NotebookFailed"
    assert view["error"]["step"] == "run"
    assert "is failed: ZeroDivisionError: division by zero" in view["error"]["message"]
    assert view["steps"]["run"]["state"] == "failed"
    assert "after" not in view["steps"]
    rider.notebook("%%step broken\n'mended'", name="child.ipynb")
    rider.retry(view["id"])
    assert rider.ride(view["id"])["state"] == "completed"


def test_without_check_the_step_goes_on_and_can_look(rider: Rider) -> None:
    rider.notebook("%%step fine\n1", "%%step broken\n1 / 0", name="child.ipynb")
    view = rider.run(
        "%%step run\nflow.run_notebook('child.ipynb', check=False)",
        "%%step after\n[steps.run['$notebooks'].child.state, steps.run.child.fine['$return_value']]",
    )

    assert returned(view, "after") == ["failed", 1]


def test_cancelling_the_parent_cancels_linked_notebooks(rider: Rider) -> None:
    asking_child(rider)
    view = rider.run(
        "%%step run\nflow.run_notebook('child.ipynb', name='mine')\n"
        "flow.run_notebook('child.ipynb', name='own', linked=False)"
    )
    children = view["suspended"][0]["data"]
    rider.queue.cancel(view["id"], by="user:ann")

    cancelled = rider.queue.view(children["mine"])
    assert (cancelled["state"], cancelled["reason"]["kind"]) == ("cancelled", "parent")
    assert cancelled["reason"]["by"] == f"parent:{view['id']}"
    assert rider.queue.state(children["own"]) == "suspended"
    assert rider.answer(children["own"])["state"] == "completed"
    assert rider.queue.state(view["id"]) == "cancelled"


def test_a_cancelled_notebook_fails_the_step(rider: Rider) -> None:
    asking_child(rider)
    view = rider.run("%%step run\nflow.run_notebook('child.ipynb')")
    rider.queue.cancel(view["suspended"][0]["data"]["child"], by="user:ann")
    view = rider.ride(view["id"])

    assert view["state"] == "failed"
    assert "is cancelled" in view["error"]["message"]


def test_linked_notebooks_are_suspended_with_their_parent(rider: Rider, noticed_suspension: threading.Event) -> None:
    wait = "%%step long\nlog('long')\nimport pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    rider.notebook(LOG, wait, "%%step rest\nlog('rest')", name="child.ipynb")
    execution = rider.start("%%step run\nflow.run_notebook('child.ipynb')", "%%step after\nlog = 'x'")

    def ask() -> None:
        while rider.log() != ["long"]:
            time.sleep(0.02)
        child = rider.queue.view(execution)["suspended"][0]["data"]["child"]
        with pytest.raises(CannotSuspend, match="follows its parent"):
            rider.queue.suspend(child, by="user:bob")
        rider.queue.suspend(execution, by="user:bob")
        assert noticed_suspension.wait(60)
        (rider.folder / "go").touch()

    asking = threading.Thread(target=ask)
    asking.start()
    view = rider.ride(execution)
    asking.join()

    assert [(each["path"], each["kind"]) for each in view["suspended"]] == [
        (["run"], "notebook"),
        (["run"], "operator"),
    ]
    assert rider.log() == ["long"]
    assert rider.answer(execution)["state"] == "completed"
    assert rider.log() == ["long", "rest"]


def test_what_cannot_be_run_fails_the_step_that_asks_for_it(rider: Rider) -> None:
    missing = rider.run("%%step run\nflow.run_notebook('nowhere.ipynb')")
    assert missing["error"]["type"] == "NotebookNotFound"
    (rider.folder / "bad.ipynb").write_text("{}")
    view = rider.run("%%step run\nflow.run_notebook('bad.ipynb')", "%%step after\n1")

    assert (view["state"], view["error"]["type"], view["error"]["step"]) == ("failed", "InvalidNotebook", "run")
    assert len(rider.queue.list()) == 2


def test_the_wait_for_notebooks_cannot_be_answered_itself(rider: Rider) -> None:
    rider.notebook("%%step nap\nflow.sleep('1h')", name="child.ipynb")
    view = rider.run(
        "%%step run\nlinks = flow.suspend()\nflow.run_notebook('child.ipynb')\nflow.export('url', links.resume_url)"
    )
    claim = rider.queue.signer.read(view["steps"]["run"]["exports"]["url"].rpartition("/")[2], "resume")
    from pauseflow_nb.engine.authorization import Callback

    answer = rider.queue.settle(claim, Callback("resume", {"method": "POST"}, "link"))
    assert (answer.status, rider.queue.state(view["id"])) == (409, "suspended")
    with pytest.raises(NotSuspended):
        rider.queue.resume(view["id"], step="elsewhere", by="user:ann")
    # Whoever names the step means what its notebooks wait for.
    assert rider.queue.resume(view["id"], step="run", by="user:ann").body["step"] == "nap"


def test_a_notebook_that_runs_itself_stops_somewhere(rider: Rider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pauseflow_nb.engine.children._DEEPEST", 2)
    rider.notebook("%%step again\nflow.run_notebook('self.ipynb')", name="self.ipynb")
    view = rider.run("%%step again\nflow.run_notebook('self.ipynb')")

    assert view["state"] == "failed"
    assert "nested more than" in view["error"]["message"]


@pytest.mark.thorough
def test_a_worker_runs_parent_and_children(rider: Rider, wait_until: Any) -> None:
    asking_child(rider)
    with lab(rider.queue.settings, rider.folder) as store:
        store.worker()
        path = rider.notebook(LOG, *PARENT)
        execution = rider.queue.start(plan(str(path), None, {}, RunOptions(cwd=str(rider.folder))))
        wait_until(lambda: len(rider.queue.view(execution)["suspended"]) == 3, description="both children wait")
        for name in ("south", "north"):
            assert rider.queue.resume(execution, step=f"{name}.ask", data=name, by="user:ann").status == 200
        wait_until(lambda: rider.queue.state(execution) == "completed", description="the parent went on")

    assert returned(rider.queue.view(execution), "after") == [["north", "north"], ["south", "south"]]


def test_the_answer_to_a_nested_step_is_its_data_as_that_of_ones_own(rider: Rider) -> None:
    rider.notebook("1", "%%step approve\nflow.suspend()", name="child.ipynb")
    view = rider.run(
        "%%step kids\nflow.run_notebook('child.ipynb')",
        "%%step use\nnested = steps.kids.child.approve\n[nested.data, nested.data.ok, nested['$resume_data']['by']]",
    )
    view = rider.answer(view["id"], {"ok": True})

    assert view["state"] == "completed"
    assert returned(view, "use") == [{"ok": True}, True, "user:ann"]
