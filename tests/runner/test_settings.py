"""What cells set of IPython, libraries and logging holds in the kernel after a pause."""

from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.protocol import Wake

WAKE = Wake("ask", "suspend", "continue", by="user:ann", at="2026-11-20T10:00:00+00:00", callback={"body": 7})
PAUSE = "%%step ask\nfrom pauseflow_nb import flow\nflow.suspend()"


def _paused_between(rehearse: Any, before: list[str], after: list[str]) -> Any:
    rehearsal = rehearse(*before, PAUSE, *after)
    end = rehearsal.run()
    assert end.kind == "suspended", end.failure
    end = rehearsal.run(wake=WAKE)
    assert end.kind == "completed", end.failure
    return rehearsal


def test_a_numpy_formatter_of_the_notebook_survives_a_pause(rehearse: Any) -> None:
    pytest.importorskip("numpy")
    before = "import numpy as np\ndef fmt(v): return f'<{v:.1f}>'\nnp.set_printoptions(formatter={'float': fmt})"

    rehearsal = _paused_between(rehearse, [before], ["np.array([1.25])"])

    assert rehearsal.text(2) == "array([<1.2>])"


@pytest.mark.every(2)
@pytest.mark.parametrize(
    "before",
    [
        "%config InlineBackend.figure_formats = ['svg']",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n%config InlineBackend.figure_formats = ['svg']",
        "%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']",
        "from matplotlib_inline.backend_inline import set_matplotlib_formats\nset_matplotlib_formats('svg')",
    ],
)
def test_figures_have_the_format_that_was_chosen_before_the_pause(rehearse: Any, before: str) -> None:
    pytest.importorskip("matplotlib")
    rehearsal = _paused_between(rehearse, [before], ["import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"])

    (output,) = [each for each in rehearsal.document.cells[2].outputs if each.output_type == "display_data"]
    assert sorted(output.data) == ["image/svg+xml", "text/plain"]


def test_a_backend_without_display_stays_one(rehearse: Any) -> None:
    pytest.importorskip("matplotlib")
    before = "%matplotlib agg\nimport matplotlib.pyplot as plt"

    rehearsal = _paused_between(rehearse, [before], ["plt.plot([1, 2]); plt.gcf(); None\nprint(plt.get_backend())"])

    assert rehearsal.text(2) == "agg\n"


def test_ipythons_settings_survive_a_pause(rehearse: Any) -> None:
    before = (
        "%config InteractiveShell.ast_node_interactivity = 'all'\n%precision 2\n%xmode Minimal\n%alias hello echo hello\n"
        "from IPython.core.magic import register_cell_magic\n@register_cell_magic\ndef shout(line, cell): print(cell.upper())\n"
        "def after(result): print('ran')\nget_ipython().events.register('post_run_cell', after)"
    )

    rehearsal = _paused_between(
        rehearse,
        [before],
        [
            "1.23456\n2.34567",
            "%hello there",
            "%%shout\nabc",
            "get_ipython().events.callbacks['post_run_cell'].count(after)",
        ],
    )

    assert rehearsal.text(2) == "1.232.35ran\n"
    assert rehearsal.text(3).splitlines() == ["hello there", "ran"]
    assert rehearsal.text(4) == "ABC\n\nran\n"
    assert rehearsal.text(5) == "1ran\n"


def test_log_lines_go_on_where_they_went_and_none_is_doubled_by_a_setup(rehearse: Any, tmp_path: Path) -> None:
    setup = (
        "%%setup\nimport logging, sys\nlogging.basicConfig(stream=sys.stdout, level='INFO', format='setup|%(message)s')"
    )
    step = (
        "%%step first\nhandler = logging.FileHandler('audit.log', mode='w'); handler.setFormatter(logging.Formatter('%(message)s'))\n"
        "logging.getLogger().addHandler(handler); logging.info('one')"
    )

    rehearsal = _paused_between(
        rehearse, [setup, step], ["logging.info('two')\nprint(len(logging.getLogger().handlers))"]
    )

    assert rehearsal.text(3) == "setup|two\n2\n"
    assert (tmp_path / "audit.log").read_text() == "one\ntwo\n"


def test_a_setting_that_cannot_be_saved_is_named_in_the_output_of_the_step(rehearse: Any) -> None:
    pytest.importorskip("pandas")
    before = "import pandas as pd, threading\npd.options.display.float_format = lambda v, lock=threading.Lock(): f'<{v}>'\npd.options.display.max_rows = 7"

    rehearsal = _paused_between(rehearse, [before], ["pd.options.display.max_rows"])

    assert "not saved: pandas option display.float_format" in rehearsal.text(1)
    assert rehearsal.text(2) == "7"


UNFINISHED = {
    "a task of a coroutine of the notebook": (
        "import asyncio\nasync def work(): await asyncio.sleep(600)\nasyncio.create_task(work(), name='later'); None",
        "not saved: task 'later' of asyncio, which is not done and ends with this kernel",
    ),
    "a task of a coroutine of asyncio": (
        "import asyncio\nasyncio.create_task(asyncio.sleep(600), name='nap'); None",
        "not saved: task 'nap' of asyncio",
    ),
    "a call that the event loop is to make": (
        "import asyncio\ndef beep(): pass\nasyncio.get_running_loop().call_later(600, beep); None",
        "not saved: the call of __main__.beep that the event loop is to make later",
    ),
    "a function of atexit": (
        "import atexit\n@atexit.register\ndef bye(): pass",
        "not saved: __main__.bye, which `atexit` calls when this kernel ends",
    ),
    "a thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, name='waits', daemon=True).start()",
        "not saved: thread 'waits', which calls threading.Event.wait",
    ),
}


@pytest.mark.parametrize("what", UNFINISHED)
def test_what_ends_with_the_kernel_is_said_at_the_pause(rehearse: Any, what: str) -> None:
    make, sentence = UNFINISHED[what]
    rehearsal = rehearse(make, PAUSE)

    end = rehearsal.run()

    (note,) = end.outcome.notes
    assert note.startswith(sentence)
    assert sentence in rehearsal.text(1)


def test_a_kernel_and_its_libraries_have_nothing_that_is_said_at_the_pause(rehearse: Any) -> None:
    make = (
        "import asyncio, atexit, threading\nfrom IPython.display import display\nimport ipywidgets\nawait asyncio.sleep(0)\n"
        "display(ipywidgets.IntSlider())\n%matplotlib inline\nimport matplotlib.pyplot as plt; plt.plot([1]); plt.show()\n"
        "await asyncio.to_thread(len, 'abc')\n!echo done"
    )
    rehearsal = rehearse(make, PAUSE)

    end = rehearsal.run()

    assert end.outcome.notes == []
