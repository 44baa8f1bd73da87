"""What was probably meant, where something looks like a slip."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("flow.rerun(1000, maxRetires=3)", "flow.rerun() has no argument 'maxRetires': did you mean 'max_retries'?"),
        ("flow.suspend(onTimeout='resume')", "flow.suspend() has no argument 'onTimeout': did you mean 'on_timeout'?"),
        ("flow.suspend(titel='x')", "flow.suspend() has no argument 'titel': did you mean 'title'?"),
        ("flow.pause(tiemout='1h')", "flow.pause() has no argument 'tiemout': did you mean 'timeout'?"),
        ("flow.sleep(zzz=1)", "flow.sleep() has no argument 'zzz'; it accepts: span"),
        ("flow.supend()", "flow has no 'supend': did you mean 'suspend'?"),
        ("flow.retry(1000)", "flow has no 'retry': did you mean 'rerun'?"),
        ("flow.runNotebook('x')", "flow has no 'runNotebook': did you mean 'run_notebook'?"),
        ("flow.zzzzz()", "flow has no 'zzzzz'"),
    ],
)
def test_a_wrong_name_names_the_right_one(kernel: Any, cell: str, sentence: str) -> None:
    ran = kernel.run(f"%%step a\n{cell}")

    assert str(ran.error) == sentence


def test_the_spelling_of_pipedream_works(kernel: Any) -> None:
    for run in (2, 3):
        kernel.run("%%step a\nflow.rerun(1000, None, maxRetries=2);")
        kernel.run("%pauseflow skip")
        assert kernel.session.test_mode.wake.max_retries == 2, run

    assert kernel.run("%%step a\nflow.rerun(1000, None, maxRetries=2);").ok


@pytest.mark.parametrize("name", ["flow", "steps"])
def test_a_missing_import_says_what_to_write(kernel: Any, name: str) -> None:
    del kernel.names[name]
    ran = kernel.run(f"%%step a\n{name}.anything")

    assert str(ran.error) == (
        f"name '{name}' is not defined: write `from pauseflow_nb import flow, steps` in a cell above"
    )
    assert "write `from pauseflow_nb import flow, steps`" in ran.text


def test_return_in_a_step_says_what_its_value_is(kernel: Any) -> None:
    ran = kernel.run("%%step a\nreturn 1")

    assert "'return' outside function: the last expression of a step is its return value" in ran.text
    assert "its return value" in str(ran.error)


def test_another_missing_name_is_left_as_it_is(kernel: Any) -> None:
    assert str(kernel.run("%%step a\nfloww").error) == "name 'floww' is not defined"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            "flow.suspend(3600)",
            'flow.suspend(3600) waits only 3.6 s, because 3600 is milliseconds: write "1h" if you mean seconds',
        ),
        (
            "flow.suspend(timeout=90)",
            'waits only 0.09 s, because 90 is milliseconds: write "1m30s" if you mean seconds',
        ),
        ("flow.suspend(59_999)", '"59999ms"'),
        ("flow.suspend(5000)", 'write "5000s" if you mean seconds'),
    ],
)
def test_a_timeout_under_a_minute_is_warned_of_at_the_line(kernel: Any, call: str, sentence: str) -> None:
    with pytest.warns(UserWarning, match="is milliseconds") as caught:
        ran = kernel.run(f"%%step a\n\n{call};")

    assert sentence in str(caught[0].message)
    assert caught[0].lineno == 3
    assert type(ran.error).__name__ == "Paused"


@pytest.mark.parametrize(
    "call", ["flow.suspend(60_000)", "flow.suspend('10s')", "flow.suspend()", "flow.suspend(None)"]
)
def test_other_timeouts_are_not_warned_of(kernel: Any, call: str) -> None:
    assert "is milliseconds" not in kernel.run(f"%%step a\n{call};").warnings


@pytest.mark.parametrize("head", ["", "%%step a\n"])
@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import pauseflow", "the module is `pauseflow_nb`: write `from pauseflow_nb import flow, steps`"),
        ("from pauseflow import flow", "the module is `pauseflow_nb`: write `from pauseflow_nb import flow, steps`"),
        ("%load_ext pauseflow", "the module is `pauseflow_nb`: write `from pauseflow_nb import flow, steps`"),
        ("from pauseflow_nb import suspend", "write `from pauseflow_nb import flow, steps`, then for example"),
        ("@flow\ndef main(): pass", "a step is a cell whose first line is `%%step NAME`, and nothing is decorated"),
        ("del flow\nflow", "write `from pauseflow_nb import flow, steps` in a cell above"),
    ],
)
def test_a_wrong_import_or_use_says_what_to_write_in_any_cell(kernel: Any, head: str, code: str, hint: str) -> None:
    ran = kernel.run(f"{head}{code}")

    assert hint in str(ran.error)
    assert hint in ran.text


@pytest.mark.parametrize("code", ["import pauseflower", "import nothing.pauseflow", "undefined", "1 / 0"])
def test_errors_of_others_are_left_as_they_are(kernel: Any, code: str) -> None:
    assert "pauseflow_nb" not in kernel.run(code).text


@pytest.mark.parametrize("head", ["", "%%step a\n"])
@pytest.mark.parametrize("code", ["steps.zzz", "flow.zzz", "flow.suspend(zzz=1)"])
def test_a_mistake_is_shown_with_the_line_of_the_cell_and_none_of_ours(kernel: Any, head: str, code: str) -> None:
    text = kernel.run(f"{head}{code}").text

    assert f"> {len(head.splitlines()) + 1} {code}" in text
    assert "pauseflow_nb/" not in text


def test_a_timeout_that_cannot_be_read_is_shown_without_our_frames(kernel: Any) -> None:
    text = kernel.run("%%step a\nflow.suspend(timeout='soon')").text

    assert "timeout='soon' must look like" in text
    assert "durations.py" not in text


def test_a_function_of_the_user_stays_in_the_traceback(kernel: Any) -> None:
    text = kernel.run("def ask():\n    return flow.zzz\n\nask()").text

    assert "return flow.zzz" in text
    assert "ask()" in text


def test_a_step_that_is_awaited_says_that_the_call_needs_no_await(kernel: Any) -> None:
    assert "`await` is not needed here" in str(kernel.run("%%step a\nawait flow.suspend()").error)


@pytest.mark.parametrize("use", [".data", "['approved']"])
def test_links_that_are_taken_for_the_answer_say_where_it_is(kernel: Any, use: str) -> None:
    error = kernel.run(f"%%step a\nanswer = flow.suspend()\nanswer{use}").error

    assert "the next cell reads it from `steps.NAME.data`" in str(error)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("step", "a cell whose first line is `%%step NAME`"),
        ("wait", "did you mean 'suspend'"),
        ("resume", "`pauseflow resume ID`"),
    ],
)
def test_names_that_others_use_are_answered_with_ours(kernel: Any, name: str, hint: str) -> None:
    assert hint in str(kernel.run(f"flow.{name}").error)


@pytest.mark.parametrize("use", ["flow.suspend()\nsteps.a.data", "flow.suspend()\nsteps['a']", "steps.a()"])
def test_an_answer_that_is_read_in_its_own_step_says_where_it_will_be(kernel: Any, use: str) -> None:
    error = kernel.run(f"%%step a\n{use}").error

    assert "step 'a' is still running: its answer and its exports are there in the next cell" in str(error)


def test_an_export_without_its_dollar_is_answered_with_it(kernel: Any) -> None:
    kernel.run("%%step a\n7")

    assert str(kernel.run("steps.a.return_value").error) == (
        "step 'a' has no export 'return_value': did you mean '$return_value'?"
    )


@pytest.mark.parametrize("call", ["suspend()", "rerun('1h')", "delay('1h')"])
def test_links_that_are_taken_for_a_yes_are_warned_of_at_the_line(kernel: Any, call: str) -> None:
    with pytest.warns(UserWarning, match="reads the answer from") as caught:
        kernel.run(f"%%step a\n\nif flow.{call}:\n    pass")

    assert [each.lineno for each in caught] == [3]
