"""What a new kernel cannot bring back: no cell runs without what it needs, and people are told of the rest everywhere."""

from pathlib import Path
from typing import Any

import pytest
from roads.rider import Rider, returned, shown

from pauseflow_nb.cli.terminal import describe
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.links import Claim
from pauseflow_nb.server.public.page import render_suspension
from pauseflow_nb.store.tables import segments

pytestmark = pytest.mark.acceptance

BUDGET = "class Budget:\n    def __init__(self, limit):\n        self.limit = limit\n"
SPEND = "%%step spend\nbudget.limit if 'budget' in globals() else 10**9"
ASK = "%%step ask\nlinks = flow.suspend('1h', title='Spend it?')"


@pytest.fixture
def helper(rider: Rider) -> Path:
    path = rider.folder / "helper.py"
    path.write_text(BUDGET)
    return path


def waits(rider: Rider, *sources: str) -> str:
    view = rider.run(*sources)
    assert view["state"] == "suspended", view["error"]
    return str(view["id"])


def stored(rider: Rider, execution: str) -> list[Any]:
    with rider.queue.engine.connect() as connection:
        rows = connection.execute(segments.select().where(segments.c.execution == execution).order_by(segments.c.n))
        return [row.losses for row in rows]


def test_a_class_that_is_gone_fails_the_execution_before_a_cell_runs_and_retry_uses_the_answer(
    rider: Rider, helper: Path
) -> None:
    execution = waits(
        rider, "from helper import Budget\nbudget = Budget(100)", ASK, SPEND, "%%step said\nsteps.ask.data"
    )
    helper.write_text(BUDGET.replace("Budget", "Allowance"))

    failed = rider.answer(execution, {"sure": True})

    assert (failed["state"], failed["reason"]["kind"], failed["error"]["type"]) == (
        "failed",
        "environment",
        "NotRestored",
    )
    message = failed["error"]["message"]
    assert "budget (helper.Budget) could not be restored: AttributeError: " in message
    assert "Cell 4 needs it." in message
    assert f"`pauseflow retry {execution}`" in message
    assert "spend" not in failed["steps"]
    assert {loss["name"] for loss in failed["losses"]} == {"budget", "Budget", None}
    (note,) = [loss["text"] for loss in failed["losses"] if loss["name"] is None]
    assert "module helper: its file was changed during the pause" in note
    assert "budget (helper.Budget) could not be restored" in shown(rider.output())
    assert "budget (helper.Budget) could not be restored" in describe(failed)

    helper.write_text(BUDGET)
    rider.retry(execution)
    view = rider.ride(execution)

    assert (view["state"], view["losses"]) == ("completed", [])
    assert (returned(view, "spend"), returned(view, "said")) == (100, {"sure": True})
    assert "could not be restored" not in shown(rider.output())


def test_force_goes_on_without_it_and_says_so_everywhere(rider: Rider, helper: Path) -> None:
    execution = waits(rider, "from helper import Budget\nbudget = Budget(100)", ASK, SPEND)
    helper.write_text("")
    rider.answer(execution)
    rider.retry(execution, force=True)
    view = rider.ride(execution)

    assert (view["state"], returned(view, "spend")) == ("completed", 10**9)
    (loss,) = [each for each in view["losses"] if each["name"] == "budget"]
    assert (loss["segment"], loss["type"], loss["needed_by"]) == (2, "helper.Budget", [3])
    assert "budget (helper.Budget) could not be restored" in describe(view)
    assert "budget (helper.Budget) could not be restored" in rider.output().cells[3].outputs[0].data["text/plain"]
    assert {each["name"] for each in stored(rider, execution)[2]} == {"budget", "Budget", ""}
    assert "missed" in [line["what"] for line in rider.queue.audit(execution)]


def test_force_counts_for_one_pause(rider: Rider, helper: Path) -> None:
    (rider.folder / "other.py").write_text(BUDGET)
    made = "from helper import Budget\nimport other\nbudget, rest = Budget(1), other.Budget(2)"
    execution = waits(
        rider, made, ASK, "%%step spend\nglobals().get('budget')", ASK.replace("ask", "again"), "print(rest)"
    )
    helper.write_text("")
    rider.answer(execution)
    rider.retry(execution, force=True)
    assert rider.ride(execution)["state"] == "suspended"
    (rider.folder / "other.py").write_text("")

    view = rider.answer(execution)
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "rest (other.Budget) could not be restored" in view["error"]["message"]


def test_what_no_later_cell_needs_is_a_note(rider: Rider, helper: Path) -> None:
    execution = waits(rider, "from helper import Budget\nbudget = Budget(100)\nn = 1", ASK, "%%step last\nn + 1")
    helper.unlink()

    view = rider.answer(execution)

    assert view["error"] is None
    assert (view["state"], returned(view, "last")) == ("completed", 2)
    (loss, *_) = [each for each in view["losses"] if each["name"] == "budget"]
    assert (loss["name"], loss["needed_by"]) == ("budget", [])
    assert "ModuleNotFoundError" in loss["reason"]
    assert "No later cell needs it." in loss["text"]
    assert "budget (helper.Budget) could not be restored" in shown(rider.output())
    assert "budget (helper.Budget) could not be restored" in describe(view)


@pytest.mark.every(3)
@pytest.mark.parametrize(
    "needs",
    [
        "print(budget)",
        "%%step last\nvars().get('budget')",
        "%%step last\neval('budget')",
        "def later():\n    return budget\nlater()",
        "import sys\ngetattr(sys.modules['__main__'], 'budget', 10**9)",
        "name = 'budget'\nget_ipython().user_ns.get(name)",
        "%run -i use.py",
        "print(f'{budget}')",
        "%%setup\nlimit = budget",
        "names = ['budget']",
    ],
)
def test_a_cell_that_may_need_it_does_not_run(rider: Rider, helper: Path, needs: str) -> None:
    (rider.folder / "use.py").write_text("print(globals().get('budget'))")
    execution = waits(rider, "from helper import Budget\nbudget = Budget(100)", ASK, "open('ran', 'w').close()", needs)
    helper.write_text("")

    view = rider.answer(execution)

    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "budget (helper.Budget) could not be restored" in view["error"]["message"]
    assert "Cell 5 needs it." in view["error"]["message"]
    assert not (rider.folder / "ran").exists()


def test_a_name_that_is_bound_first_is_not_needed(rider: Rider, helper: Path) -> None:
    execution = waits(
        rider, "from helper import Budget\nbudget = Budget(100)", ASK, "budget = 5", "%%step last\nbudget"
    )
    helper.write_text("")

    assert returned(rider.answer(execution), "last") == 5


def test_a_function_of_the_notebook_that_reads_it_needs_it(rider: Rider, helper: Path) -> None:
    made = "from helper import Budget\nbudget = Budget(100)\ndef left():\n    return budget.limit"
    execution = waits(rider, made, ASK, "%%step last\nleft()")
    helper.write_text("")

    view = rider.answer(execution)
    assert "budget (helper.Budget) could not be restored" in view["error"]["message"]


def test_a_setup_that_passed_needs_it_too(rider: Rider, helper: Path) -> None:
    made = "from helper import Budget\nbudget = Budget(100)"
    setup = "%%setup\nlimit = budget.limit if 'budget' in globals() else 10**9"
    execution = waits(rider, made, setup, ASK, "%%step last\nlimit")
    helper.write_text("")

    view = rider.answer(execution)
    assert "budget (helper.Budget) could not be restored" in view["error"]["message"]
    assert "Cell 3 needs it." in view["error"]["message"]


@pytest.mark.parametrize("setup", ["", "%%setup\nimport os\npath = os.path.join('.', 'rows.txt')"])
def test_a_file_that_a_replay_would_open_is_named_with_the_reason(rider: Rider, setup: str) -> None:
    (rider.folder / "rows.txt").write_text("a\nb\n")
    cells = [setup, "rows = open(path)"] if setup else ["rows = open('rows.txt')"]
    execution = waits(rider, *cells, ASK, "%%step last\nrows.read() if 'rows' in globals() else ''")
    (rider.folder / "rows.txt").unlink()

    view = rider.answer(execution)

    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "rows (_io.TextIOWrapper) could not be restored: " in view["error"]["message"]
    assert "FileNotFoundError: [Errno 2] No such file or directory" in view["error"]["message"]
    assert "rows.txt" in shown(rider.output())

    (rider.folder / "rows.txt").write_text("a\nb\n")
    rider.retry(execution)
    assert returned(rider.ride(execution), "last") == "a\nb\n"


@pytest.mark.parametrize("ask", ["flow.rerun('1h')", "flow.sleep('1h')"])
def test_reruns_and_delays_do_not_go_on_without_it_either(rider: Rider, helper: Path, ask: str) -> None:
    step = f"%%step ask\nran = globals().get('budget', 10**9)\nif flow.context['run']['runs'] < 2: {ask}"
    view = rider.run("from helper import Budget\nbudget = Budget(100)", step, SPEND)
    helper.write_text("")
    rider.let_time_pass(view, 2)
    Clock(rider.queue).sweep()

    view = rider.ride(view["id"])
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "budget (helper.Budget) could not be restored" in view["error"]["message"]


def test_a_crash_attempt_does_not_go_on_without_what_its_checkpoint_lacks(rider: Rider) -> None:
    """A step that only finished goes on with what its kernel has; the kernel after a crash does not have it."""
    make = "%%step make\nimport threading\nlock = threading.Lock()\nheld = lock.acquire()"
    crash = (
        "%%step crash\nimport os\nfrom pathlib import Path\nif not Path('crashed').exists():\n"
        "    Path('crashed').touch()\n    os._exit(9)\n'lock' in globals()"
    )
    view = rider.run(make, crash, "%%step use\n'lock' in globals()")

    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "lock (_thread.lock) could not be restored: it could not be saved" in view["error"]["message"]
    assert "add `--from` with the step that makes it" in view["error"]["message"]


def test_a_schema_that_is_gone_keeps_the_answer_unchecked_and_kept(rider: Rider) -> None:
    path = rider.folder / "forms.py"
    path.write_text("from pydantic import BaseModel\nclass Order(BaseModel):\n    n: int\n")
    ask = "%%step ask\nlinks = flow.suspend('1h', schema=Order)"
    execution = waits(rider, "from forms import Order", ask, "%%step last\ntype(steps.ask.data).__name__")
    source = path.read_text()
    path.write_text("")

    view = rider.answer(execution, {"n": 3})
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "the schema of step 'ask'" in view["error"]["message"]

    path.write_text(source)
    rider.retry(execution)
    assert returned(rider.ride(execution), "last") == "Order"


def test_the_working_directory_that_cells_chose_is_needed_by_all(rider: Rider) -> None:
    (rider.folder / "sub").mkdir()
    execution = waits(rider, "import os\nos.chdir('sub')", ASK, "%%step last\n1")
    (rider.folder / "sub").rmdir()

    view = rider.answer(execution)
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "the working directory could not be restored: " in view["error"]["message"]


def test_a_fork_finds_out_for_itself(rider: Rider, helper: Path) -> None:
    execution = waits(rider, "from helper import Budget\nbudget = Budget(100)", ASK, SPEND)
    helper.write_text("")
    rider.answer(execution)
    rider.retry(execution, force=True)
    rider.ride(execution)

    sibling = rider.fork(execution, from_step="spend")
    view = rider.ride(sibling)
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")


KINDS = """
import logging
import ipywidgets
import matplotlib.figure
from IPython.display import DisplayHandle

class Plain: pass
class Slider(ipywidgets.IntSlider): pass
class Handler(logging.Handler): pass
class Handle(DisplayHandle): pass
class Figure(matplotlib.figure.Figure): pass
CACHE = []
"""

MADE = """
import kinds, versioned
import matplotlib; matplotlib.use('agg')
a_class, a_slider, a_handler, a_handle = kinds.Plain(), kinds.Slider(), kinds.Handler(), kinds.Handle()
a_figure = kinds.Figure()
a_cache = kinds.CACHE; a_cache.append(1)
from alone import Thing
a_thing, a_versioned = Thing(), versioned.Thing()
a_file = open('rows.txt')
"""

#: Words that name each loss: a class, widget, log handler, display handle and figure whose class is gone, a module that is
#: gone, the file of a replay, a value that a module shared, another version.
NAMES = [
    "a_class",
    "a_slider",
    "a_handler",
    "a_handle",
    "a_figure",
    "a_thing",
    "a_file",
    "kinds.CACHE",
    "versioned 1.0",
]


def test_a_loss_of_every_kind_is_named_at_every_place(rider: Rider) -> None:
    (rider.folder / "kinds.py").write_text(KINDS)
    (rider.folder / "alone.py").write_text("class Thing: pass\n")
    (rider.folder / "versioned.py").write_text("__version__ = '1.0'\nclass Thing: pass\n")
    (rider.folder / "rows.txt").write_text("a")
    execution = waits(rider, MADE, ASK, "globals()", ASK.replace("ask", "again"))
    (rider.folder / "kinds.py").write_text("raise ImportError('moved')")
    for name in ("alone.py", "rows.txt"):
        (rider.folder / name).unlink()
    (rider.folder / "versioned.py").write_text("__version__ = '2.0.1'\nclass Thing: pass\n")

    refused = rider.answer(execution, {"sure": True})
    assert (refused["state"], refused["reason"]["kind"]) == ("failed", "environment")
    assert "versioned 1.0 there, 2.0.1 here" in refused["error"]["message"]
    messages: list[str] = []
    rider.retry(execution, force=True)
    view = rider.ride(execution, on_event=lambda event: messages.append(str(event.data.get("text"))))

    assert view["state"] == "suspended", view["error"]
    facts = rider.queue.claim_page(Claim(execution, view["segment"], "again", 0, "approve"))
    assert facts is not None
    places = {
        "the JSON": str([loss["text"] for loss in view["losses"]]),
        "the store": str(stored(rider, execution)),
        "show": describe(view),
        "the notebook": str(rider.output().cells[3].outputs[0].data["text/plain"]),
        "the HTML of the notebook": rider.output().cells[3].outputs[0].data["text/html"],
        "the page": render_suspension({**facts, "evidence": []}, actions=("resume", "cancel")),
        "the progress": str(messages),
        "the audit trail": str(rider.queue.audit(execution)),
    }
    missing = {(name, place) for name in NAMES for place, text in places.items() if name not in text}
    assert missing == set()


def test_settings_of_the_event_loop_come_back(rider: Rider) -> None:
    view = rider.run(
        "%%step set\nimport asyncio\nseen = []\nloop = asyncio.get_running_loop()\n"
        "loop.set_exception_handler(lambda loop, context: seen.append(context)); loop.slow_callback_duration = 9\n"
        "def make(loop, coroutine, **more): return asyncio.Task(coroutine, loop=loop, **more)\n"
        "loop.set_task_factory(make); del loop",
        "%%step ask\nasked = flow.suspend('1h')",
        "%%step check\nloop = asyncio.get_running_loop(); loop.call_exception_handler({'message': 'x'})\n"
        "assert loop.get_task_factory() is make\n[seen, loop.slow_callback_duration]",
    )

    view = rider.answer(view["id"])

    assert returned(view, "check") == [[{"message": "x"}], 9]
