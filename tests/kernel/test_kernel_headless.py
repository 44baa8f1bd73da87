"""What the kernel answers the runner."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.protocol import Briefing, SnapshotRef, SuspensionRequest, Wake

from .conftest import Kernel, links, step_briefing

HeadlessT = Callable[..., Kernel]
BriefingT = Callable[..., Briefing]


def test_the_briefing_is_answered_and_leaves_no_name(kernel: Kernel, briefing: BriefingT) -> None:
    before = set(kernel.names)

    ran = kernel.begin(briefing())

    assert (ran.ready.failure, ran.ready.losses, ran.shown) == (None, [], "")
    assert set(kernel.names) == before


def test_a_runner_may_load_without_binding_names(new_kernel: Callable[[], Kernel]) -> None:
    kernel = new_kernel()
    kernel.run("del flow, steps")
    before = set(kernel.names)

    kernel.run(
        "import pauseflow_nb.kernel.ipython_extension as _pf; _pf.load(get_ipython(), bind_names=False); del _pf",
        silent=True,
    )

    assert set(kernel.names) == before


def test_numbers_of_cells_go_on(headless: HeadlessT) -> None:
    kernel = headless(execution_count=41)
    kernel.run("1")

    assert kernel.names["Out"] == {42: 1}


def test_a_finished_step_is_saved_and_said(headless: HeadlessT, tmp_path: Path) -> None:
    ran = headless().run("%%step a\nx = 1")

    assert ran.ok
    assert (ran.outcome.kind, ran.outcome.step, ran.outcome.run, ran.outcome.ordinal) == ("finished", "a", 1, 0)
    assert ran.outcome.snapshot is not None
    assert ran.displays == []
    assert list((tmp_path / "snapshots").iterdir())


def test_a_suspended_step_says_error_and_shows_nothing(headless: HeadlessT) -> None:
    kernel = headless()
    kernel.shell._last_traceback = ["an older error"]  # type: ignore[attr-defined]
    ran = kernel.run("%%step a\nlinks = flow.suspend('2h')\nx = 1")

    assert ran.outcome.kind == "suspended"
    assert ran.outcome.suspension == SuspensionRequest("suspend", seconds=7200.0, on_timeout="cancel")
    assert ran.outcome.snapshot is not None
    assert type(ran.error).__name__ == "Paused"
    assert isinstance(ran.error, BaseException)
    assert not isinstance(ran.error, Exception)
    assert ran.shown == ""
    assert kernel.shell._last_traceback == []  # type: ignore[attr-defined]


def test_plain_cells_answer_nothing(headless: HeadlessT) -> None:
    kernel = headless()

    assert kernel.run("1").messages == []
    assert kernel.run("1 / 0").messages == []
    assert kernel.run("%%setup\nx = 1").messages == []


def test_an_error_after_suspend_fails_the_step(headless: HeadlessT) -> None:
    kernel = headless()
    ran = kernel.run("%%step a\nflow.suspend()\nflow.export('x', 1)\n1 / 0")

    assert ran.outcome.kind == "failed"
    assert ran.outcome.suspension is None
    assert ran.outcome.snapshot is None
    assert ran.outcome.exports == {}
    assert ran.outcome.failure is not None
    assert (ran.outcome.failure.type, ran.outcome.failure.message) == ("ZeroDivisionError", "division by zero")
    assert ran.outcome.failure.step == "a"
    assert "a" not in kernel.session.mode.exports


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("%%step a\nx = = 1", "SyntaxError"),
        ("%%step a\n    x\n  y", "IndentationError"),
        ("%%step a\nbreak", "SyntaxError"),
        ("%%step a --retries x\n1", "InvalidStep"),
        ("%%step a\nraise SystemExit(3)", "SystemExit"),
        ("%%step a\nraise KeyboardInterrupt", "KeyboardInterrupt"),
        ("%%step a\nimport asyncio\nraise asyncio.CancelledError", "CancelledError"),
        ("%%step a\n%no_such_magic", "UsageError"),
    ],
)
@pytest.mark.filterwarnings("ignore:To exit")
def test_a_step_that_fails_in_whatever_way_is_answered_as_failed(headless: HeadlessT, source: str, kind: str) -> None:
    outcome = headless().run(source).outcome

    assert (outcome.kind, outcome.step) == ("failed", "a")
    assert outcome.failure is not None
    assert outcome.failure.type == kind


def test_the_step_after_a_failed_one_starts_clean(headless: HeadlessT) -> None:
    kernel = headless()
    kernel.run("%%step a\nflow.suspend()\n1 / 0")

    assert kernel.run("%%step b\n1").outcome.kind == "finished"


def test_variables_that_cannot_be_written_fail_the_step_and_say_so(headless: HeadlessT, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    ran = headless(snapshots=str(tmp_path / "blocked" / "snapshots")).run("%%step a\nflow.suspend()")

    assert ran.outcome.kind == "failed"
    assert ran.outcome.failure is not None
    assert ran.outcome.failure.type == type(ran.error).__name__ == "SnapshotError"
    assert "SnapshotError: " in ran.text
    assert "Traceback" not in ran.text


def test_a_pause_fails_that_would_lose_a_variable_that_is_needed(headless: HeadlessT) -> None:
    made = "import threading, types\nclients = {'a': types.SimpleNamespace(lock=threading.Lock())}"
    step = f"%%step a\n{made}\nflow.suspend()"
    kernel = headless(coming={"1": step, "2": "eval('clients')"})

    ran = kernel.run(step)

    assert ran.outcome.kind == "failed"
    assert "variable 'clients' (dict), made in cell 2, cannot be saved" in ran.text
    assert "cell 3 uses eval(), which may read any variable" in ran.text
    assert 'clients["a"].lock is a _thread.lock' in ran.text
    assert "%%setup" in ran.text


def test_a_checkpoint_says_once_what_a_lost_kernel_would_lose(headless: HeadlessT) -> None:
    kernel = headless(coming={"1": "%%step a\n1", "2": "%%step b\n1", "3": "lock.acquire()"})

    first = kernel.run("%%step a\nimport threading\nlock = threading.Lock()")
    second = kernel.run("%%step b\n1")

    assert (first.outcome.kind, second.outcome.kind) == ("finished", "finished")
    assert "not saved, and lost if this kernel ends: lock (_thread.lock)" in first.shown
    assert "lock" not in second.shown


def test_a_pause_says_what_is_left_out(headless: HeadlessT) -> None:
    kernel = headless(coming={"1": "%%step a\n1", "2": "1 + 1"})

    ran = kernel.run("%%step a\nimport threading\nlock = threading.Lock()\nflow.suspend()")

    assert ran.outcome.kind == "suspended"
    assert "not saved, and no later cell needs it: lock (_thread.lock)" in ran.outcome.notes[0]


def test_an_unsaveable_variable_fails_a_strict_run(headless: HeadlessT) -> None:
    kernel = headless(strict=True, coming={"1": "%%step a\n1", "2": "lock.acquire()"})
    kernel.run("import threading\nlock = threading.Lock()")
    ran = kernel.run("%%step a\n1")

    assert ran.outcome.kind == "failed"
    assert type(ran.error).__name__ == "Unsaveable"
    assert "variable 'lock'" in ran.text


def test_a_surprise_while_a_step_ends_is_shown_and_answered(
    headless: HeadlessT, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = headless()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr("pauseflow_nb.kernel.snapshot.save", broken)
    ran = kernel.run("%%step a\n1")

    assert type(ran.error) is RuntimeError
    assert "RuntimeError: surprise" in ran.text
    assert ran.outcome.kind == "failed"


def test_steps_are_saved_only_when_the_notebook_pauses_if_so_wished(headless: HeadlessT, tmp_path: Path) -> None:
    kernel = headless(checkpoint="pause")

    assert kernel.run("%%step a\n1").outcome.snapshot is None
    assert not (tmp_path / "snapshots").exists()
    assert kernel.run("%%step b\nflow.suspend()").outcome.snapshot is not None


def test_nothing_is_saved_where_nothing_follows(headless: HeadlessT) -> None:
    assert headless(strict=True).run("%%step a\nlock = __import__('threading').Lock()\nflow.exit()").outcome.kind == (
        "exited"
    )


@pytest.mark.parametrize(("runs", "kind"), [(0, "suspended"), (2, "suspended"), (3, "finished"), (7, "finished")])
def test_a_rerun_beyond_its_budget_is_ignored_and_noted(headless: HeadlessT, runs: int, kind: str) -> None:
    kernel = headless(steps={"a": step_briefing("a", runs=runs)})
    outcome = kernel.run("%%step a\nurls = flow.rerun(1000, None, 3)").outcome

    assert (outcome.kind, outcome.run) == (kind, runs + 1)
    assert kernel.names["urls"] == links("a")
    assert any("rerun ignored" in note for note in outcome.notes) == (kind == "finished")


def test_suspend_and_rerun_has_no_budget(headless: HeadlessT) -> None:
    outcome = headless(steps={"a": step_briefing("a", runs=50)}).run("%%step a\nflow.suspend(then='rerun')").outcome

    assert outcome.kind == "suspended"


@pytest.mark.parametrize(
    ("runs", "source", "line"),
    [
        (0, "1", None),
        (0, "flow.suspend()", None),
        (0, "flow.rerun(1000)", "run 1 of 11"),
        (2, "flow.rerun(1000)", "run 3 of 11"),
        (2, "1", "run 3 of 4"),
        (2, "1 / 0", "run 3 of 4"),
        (2, "flow.suspend(then='rerun')", "run 3 of 4"),
    ],
)
def test_a_step_that_runs_again_says_which_run_it_shows(
    headless: HeadlessT, runs: int, source: str, line: str | None
) -> None:
    wake = Wake("a", "rerun", then="rerun", max_retries=3) if runs else None
    ran = headless(steps={"a": step_briefing("a", runs=runs)}, wake=wake).run(f"%%step a\n{source}")

    assert [d["text/plain"] for d in ran.displays] == ([line] if line else [])
    assert [d["text/html"] for d in ran.displays] == ([f"<small>{line}</small>"] if line else [])


def test_variables_come_back_in_another_kernel(
    headless: HeadlessT, new_kernel: Callable[[], Kernel], briefing: BriefingT
) -> None:
    saved = headless().run("%%step a\nx = {'y': [1]}\nalias = x['y']\ndef f(): return x").outcome.snapshot

    other = new_kernel()
    ran = other.begin(briefing(segment=1, snapshot=saved))
    settled = other.run("get_ipython().pauseflow.settle_names()", silent=True)

    assert (ran.ready.failure, settled.ready.failure) == (None, None)
    assert other.run("alias.append(2)\nf()").value == {"y": [1, 2]}


def test_a_snapshot_that_is_gone_is_answered_as_a_failure(kernel: Kernel, briefing: BriefingT) -> None:
    ran = kernel.begin(briefing(snapshot=SnapshotRef("missing", "0")))

    assert ran.ready.failure is not None
    assert ran.ready.failure.type == "SnapshotDamaged"


def test_settling_without_a_snapshot_is_answered_too(headless: HeadlessT) -> None:
    assert headless().run("get_ipython().pauseflow.settle_names()", silent=True).ready.failure is None


def resumed(first: Kernel, other: Kernel, briefing: BriefingT, setup: str, *cells: str) -> Kernel:
    for cell in (setup, *cells):
        assert first.run(cell).ok
    saved = first.run("%%step a\nflow.suspend()").outcome.snapshot
    assert other.begin(briefing(segment=1, snapshot=saved)).ready.failure is None
    assert other.run(setup, silent=True).ok
    assert other.run("get_ipython().pauseflow.settle_names()", silent=True).ready.failure is None
    return other


def test_what_a_setup_bound_last_is_made_again(
    headless: HeadlessT, new_kernel: Callable[[], Kernel], briefing: BriefingT
) -> None:
    other = resumed(headless(strict=True), new_kernel(), briefing, "%%setup\nimport threading\nlock = threading.Lock()")

    assert other.run("lock.acquire()").value is True
    assert other.session.bindings.remade == {"threading", "lock"}


def test_what_another_cell_bound_later_is_put_back(
    headless: HeadlessT, new_kernel: Callable[[], Kernel], briefing: BriefingT
) -> None:
    other = resumed(headless(), new_kernel(), briefing, "%%setup\ncount = 0\nlevel = 0", "count = 5")

    assert other.run("count, level").value == (5, 0)
    assert other.session.bindings.remade == {"level"}


def test_random_numbers_go_on_although_a_setup_drew_some(
    headless: HeadlessT, new_kernel: Callable[[], Kernel], briefing: BriefingT
) -> None:
    state = random.getstate()
    try:
        setup = "%%setup\nimport random\nrandom.seed(7)\nignored = random.random()"
        other = resumed(headless(), new_kernel(), briefing, setup, "drawn = random.random()")
        after_resume = other.run("random.random()").value
        random.seed(7)
        expected = [random.random() for _ in range(3)]
    finally:
        random.setstate(state)

    assert after_resume == expected[2]


def test_a_snapshot_is_told_which_cells_come_and_which_have_passed(
    headless: HeadlessT, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pauseflow_nb.kernel import snapshot

    seen: dict[str, Any] = {}
    save = snapshot.save

    def noting(*arguments: Any, **options: Any) -> snapshot.Saved:
        seen.update(options)
        return save(*arguments, **options)

    monkeypatch.setattr(snapshot, "save", noting)
    coming = {"2": "x = 1", "3": "%%setup\ny = 1", "4": "%%step a\n1", "5": "z", "6": "%%step b\n2", "7": "%%step 1x"}
    kernel = headless(coming=coming, passed={"0": "w = 1"})
    kernel.run(coming["4"])

    assert seen["coming"] == {i: coming[i] for i in "3567"}
    assert seen["passed"] == {"0": "w = 1", "2": "x = 1"}

    kernel.run("%%step b\nflow.rerun(1000)")

    assert seen["coming"] == {i: coming[i] for i in "367"}
    assert seen["passed"] == {"0": "w = 1", "2": "x = 1", "5": "z"}


def test_the_magic_says_where_a_headless_run_stands(headless: HeadlessT) -> None:
    kernel = headless(segment=2, steps={"a": step_briefing("a", runs=1)})

    assert kernel.run("%pauseflow").text == "execution k3v9, segment 2\nsteps that have run: a\n"
    assert "headless" in kernel.run("%pauseflow reset").text
