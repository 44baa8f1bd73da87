"""Cells run by hand."""

import re
from collections.abc import Callable
from typing import Any

import pytest

MESSAGE = "Workflow execution canceled — this may be due to `flow.{}()` usage (not supported in test)"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("flow.suspend()", "suspend"),
        ("flow.rerun(1000)", "rerun"),
        ("flow.delay(1000)", "delay"),
        ("flow.sleep('1s')", "sleep"),
        ("flow.pause('1h')", "pause"),
    ],
)
def test_a_pause_shows_the_calm_message_and_stops(kernel: Any, call: str, name: str) -> None:
    kernel.shell._last_traceback = ["an older error"]
    ran = kernel.run(f"%%step a\n{call};")

    card = ran.displays[-1]
    assert card["text/plain"].splitlines()[0] == MESSAGE.format(name)
    # The same words, with what stands between backticks as code, small and below what it waits for.
    words = re.sub(r"`(.*)`", r"<code>\1</code>", MESSAGE.format(name))
    assert f"{words}</small>" in card["text/html"]
    first = card["text/plain"].splitlines()[1]
    assert first.endswith(": step 'a'")
    assert card["text/html"].index(first.replace("'", "&#x27;")) < card["text/html"].index(words)
    assert type(ran.error).__name__ == "Paused"
    assert "Traceback" not in ran.shown
    assert kernel.shell._last_traceback == []
    assert ran.messages == []


@pytest.mark.parametrize(
    ("call", "state"),
    [("suspend()", "suspended"), ("rerun('1h')", "waiting"), ("delay(60_000)", "waiting"), ("pause('1h')", "paused")],
)
def test_a_step_that_waits_is_called_by_the_word_of_its_state(kernel: Any, call: str, state: str) -> None:
    kernel.run(f"%%step a\nflow.{call}")

    assert f"step 'a' is {state} (flow.{call.partition('(')[0]}())" in kernel.run("%pauseflow").text
    assert f"Step 'a' is {state} (`flow." in kernel.run("%%step b\n1").shown


def test_links_say_that_they_are_for_a_test(kernel: Any) -> None:
    kernel.run("%%step a\nlinks = flow.suspend()")

    assert kernel.names["links"].resume_url == "https://test-link.invalid/pauseflow/resume/a"


def test_another_step_says_who_waits_and_does_not_run(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend();")
    ran = kernel.run("%%step b\nx = 1")

    assert "Step 'a' is suspended (`flow.suspend()`), so 'b' did not run." in ran.displays[0]["text/plain"]
    assert type(ran.error).__name__ == "Paused"
    assert "Traceback" not in ran.shown
    assert "x" not in kernel.names
    assert "b" not in kernel.names["steps"]


def test_plain_cells_go_on_while_a_step_waits(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend();")

    assert kernel.run("1 + 1").value == 2


def test_the_step_that_waits_may_be_tried_again(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend();")

    assert kernel.run("%%step a\nflow.context.run.runs").value == 1
    assert kernel.run("%%step b\n1").ok


def test_a_step_before_the_one_that_waits_may_run_again(kernel: Any) -> None:
    kernel.run("%%step first\n1")
    kernel.run("%%step a\nflow.suspend();")

    assert kernel.run("%%step first\n2").value == 2
    assert "step 'a' is suspended" in kernel.run("%pauseflow").text


def test_an_earlier_step_that_asks_takes_the_place_of_the_one_that_waits(kernel: Any) -> None:
    kernel.run("%%step first\n1")
    kernel.run("%%step a\nflow.suspend();")
    kernel.run("%%step first\nflow.suspend();")

    assert "Step 'first' is suspended" in kernel.run("%%step a\n1").shown


@pytest.mark.parametrize("call", ["flow.rerun(1000)", "flow.suspend(then='rerun')", "flow.pause('1h')"])
def test_a_step_that_was_answered_has_to_run_again_before_later_ones(kernel: Any, call: str) -> None:
    cell = f"%%step a\nif flow.context.run.runs == 1:\n    {call}\nflow.context.run.runs"
    kernel.run(cell)
    kernel.run("%pauseflow approve")
    refused = kernel.run("%%step b\nx = 1")

    assert "Step 'a' was answered and has to run again, so 'b' did not run." in refused.shown
    assert type(refused.error).__name__ == "Paused"
    assert "x" not in kernel.names
    assert kernel.run("%pauseflow").text.startswith("test mode: step 'a' was answered and has to run again\n")
    assert kernel.run(cell).value == (1 if "pause" in call else 2)
    assert kernel.run("%%step b\n1").ok


def test_a_rerun_that_fails_is_told_the_same_when_it_is_run_again(kernel: Any) -> None:
    kernel.run("%%step a\nflow.rerun(1000, {'job': 7});")
    kernel.run("%pauseflow skip")
    assert not kernel.run("%%step a\n1 / 0").ok

    assert kernel.run("%%step a\n(flow.context.run.runs, flow.context.run.context.job)").value == (2, 7)
    assert kernel.run("%%step a\nflow.context.run.runs").value == 1


def test_reset_clears_the_suspension_and_the_exports_and_keeps_variables(kernel: Any) -> None:
    kernel.run("%%step a\nx = 1\nflow.suspend();")
    kernel.run("%pauseflow reset")

    assert kernel.run("%%step b\nx").value == 1
    assert list(kernel.names["steps"]) == ["b"]


def test_the_magic_shows_the_state(kernel: Any) -> None:
    assert kernel.run("%pauseflow").text == "test mode: nothing waits\nsteps that have run: none\n"
    kernel.run("%%step a\nflow.suspend();")
    assert kernel.run("%pauseflow").text == (
        "test mode: step 'a' is suspended (flow.suspend())\nsteps that have run: a\n"
    )


def test_approve_answers_as_a_request_would(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend();")
    kernel.run('%pauseflow approve {"ok": true}')

    assert kernel.run("%%step b\nsteps.a.data.ok").value is True
    assert kernel.run("sorted(steps.a['$resume_data'])").value == [
        "body",
        "body_raw",
        "by",
        "client_ip",
        "headers",
        "known_by",
        "method",
        "path",
        "query",
        "received_at",
        "url",
    ]


def test_approve_of_a_rerun_makes_the_next_run_of_its_step(kernel: Any) -> None:
    kernel.run("%%step a\nflow.rerun(1000, {'job': 7}, 3);")
    ran = kernel.run('%pauseflow approve {"done": 1}')

    assert "run its cell again, it will be run 2" in ran.text
    again = kernel.run("%%step a\nrun = flow.context.run\n(run.runs, run.context.job, flow.data.done)")
    assert again.value == (2, 7, 1)
    assert again.displays[-1]["text/plain"] == "run 2 of 4"


def test_cancel_ends_the_flow_until_a_reset(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend();")
    kernel.run("%pauseflow cancel")

    for step in "ab":
        ran = kernel.run(f"%%step {step}\n1")
        assert f"The flow was cancelled in step 'a', so '{step}' did not run." in ran.shown
    kernel.run("%pauseflow reset")
    assert kernel.run("%%step b\n1").ok


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("%pauseflow approve", "no step waits"),
        ("%pauseflow cancel", "InvalidStep: no step waits in this kernel"),
        (
            "%pauseflow explode",
            "must be one of: state, reset, approve [JSON], send_back [COMMENT], cancel, skip, trigger [JSON], lint",
        ),
        ("%pauseflow reset now", "must be one of"),
        ("%pauseflow aprove", "lint: did you mean approve?"),
    ],
)
def test_a_wrong_word_is_one_clear_line(kernel: Any, line: str, sentence: str) -> None:
    ran = kernel.run(line)

    assert not ran.ok
    assert sentence in ran.text
    assert "Traceback" not in ran.text


def test_a_body_that_is_not_json_is_one_clear_line_and_the_step_still_waits(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend();")

    assert "is not JSON" in kernel.run("%pauseflow approve {ok}").text
    assert "is suspended" in kernel.run("%pauseflow").text


def test_exit_stops_calmly_and_blocks_no_later_step(kernel: Any) -> None:
    ran = kernel.run("%%step a\nflow.exit('nothing to do')\nx = 1")

    assert ran.displays[0]["text/plain"] == "`flow.exit()` ends the workflow in step 'a': nothing to do"
    assert type(ran.error).__name__ == "Exited"
    assert kernel.names["x"] == 1
    assert kernel.run("%%step b\n1").ok


def test_a_step_that_fails_shows_its_error_and_nothing_waits(kernel: Any) -> None:
    ran = kernel.run("%%step a\nflow.suspend()\n1 / 0")

    assert isinstance(ran.error, ZeroDivisionError)
    assert "Workflow execution canceled" not in ran.shown
    assert kernel.run("%%step b\n1").ok


def test_nothing_is_stored(kernel: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kernel.run("%%step a\nflow.suspend();")

    assert list(tmp_path.iterdir()) == []


def test_markup_in_a_reason_is_shown_as_text(kernel: Any) -> None:
    ran = kernel.run("%%step a\nflow.exit('<script>')")

    assert "<script>" not in ran.displays[0]["text/html"]


def test_two_kernels_in_one_process_do_not_mix(new_kernel: Callable[[], Any]) -> None:
    one, two = new_kernel(), new_kernel()
    one.run("%%step a\nflow.suspend();")

    assert two.run("%%step b\n1").ok
    assert list(two.run("list(steps)").value) == ["b"]
    assert list(one.run("list(steps)").value) == ["a"]


def test_a_pause_within_a_step_returns_when_the_cell_is_run_again(kernel: Any) -> None:
    cell = "%%step a\nseen = [flow.pause('1h'), flow.pause('1h', schema=int)]\nafter = True"
    first = kernel.run(cell)
    assert type(first.error).__name__ == "Paused"
    assert "seen" not in kernel.names
    assert "after" not in kernel.names

    kernel.run('%pauseflow approve {"ok": true}')
    assert type(kernel.run(cell).error).__name__ == "Paused"
    kernel.run("%pauseflow approve 4")
    assert kernel.run(cell).ok
    assert kernel.names["seen"] == [{"ok": True}, 4]
    assert type(kernel.run(cell).error).__name__ == "Paused"


def test_a_pause_whose_time_passes_by_hand_raises(kernel: Any) -> None:
    cell = "%%step a\nflow.pause('1h')"
    kernel.run(cell)
    kernel.run("%pauseflow skip")

    assert type(kernel.run(cell).error).__name__ == "PauseTimeout"
    assert type(kernel.run(cell).error).__name__ == "Paused"


def test_an_error_handler_of_the_user_is_put_back_after_a_pause(kernel: Any) -> None:
    seen: list[str] = []
    kernel.shell.set_custom_exc((ZeroDivisionError,), lambda _shell, kind, *_rest, **_more: seen.append(kind.__name__))
    kernel.run("%%step a\nflow.pause('1h')")
    kernel.run("1 / 0")

    assert seen == ["ZeroDivisionError"]


def test_the_card_leads_with_the_title_and_renders_the_message(kernel: Any) -> None:
    ran = kernel.run(
        "%%step a\nflow.suspend(title='Ship <it>?', message='**AUC** is `0.9`\\n\\n- one', data={'n': 1});"
    )
    card = ran.displays[-1]

    assert "<strong>Waiting for your answer: Ship &lt;it&gt;?</strong>" in card["text/html"]
    assert "<strong>AUC</strong> is <code>0.9</code>" in card["text/html"]
    assert "<li>one</li>" in card["text/html"]
    assert "**AUC** is `0.9`" in card["text/plain"]


def test_null_is_an_answer(kernel: Any) -> None:
    kernel.run("%%step a\nflow.suspend(schema=int | None);")
    kernel.run("%pauseflow approve null")

    assert kernel.run("%%step b\n(steps.a.data, steps.a['$resume_data']['body'])").value == (None, {"value": None})
