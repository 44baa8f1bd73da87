"""`def handler(pd)` in a step cell, as in a Pipedream Python step."""

from typing import Any

import pytest


def test_a_handler_is_called_and_its_return_is_the_value(kernel: Any) -> None:
    ran = kernel.run("%%step a\ndef handler(pd: 'pipedream'):\n    return {'runs': pd.context['run']['runs']}")

    assert ran.value == {"runs": 1}
    assert kernel.names["steps"].a.runs == 1


def test_a_handler_may_await(kernel: Any) -> None:
    source = "%%step a\nasync def handler(pd):\n    import asyncio\n    return await asyncio.sleep(0.001, 'slept')"

    assert kernel.run(source).value == "slept"


def test_a_handler_is_called_after_the_rest_of_its_cell(kernel: Any) -> None:
    assert kernel.run("%%step a\ndef handler(pd):\n    return x\nx = 5\n'not me'").value == 5


def test_a_handler_has_everything_under_pipedreams_names(kernel: Any) -> None:
    kernel.run("alpha = 1\n")
    kernel.run("%%step a\nflow.export('x', 1)")

    ran = kernel.run(
        "%%step b\ndef handler(pd):\n    pd.export('y', pd.steps.a.x + pd.steps['a']['x'])\n"
        "    urls = pd.flow.delay(1000)\n    return [pd.inputs.alpha, pd.context.run.runs, pd.context['run'].runs]"
    )

    assert type(ran.error).__name__ == "Paused"
    assert kernel.names["steps"].b["$return_value"] == [1, 1, 1]
    assert kernel.names["steps"].b.y == 2


def test_the_argument_sends_messages(kernel: Any) -> None:
    ran = kernel.run("%%step a\ndef handler(pd):\n    pd.send.email('s', 't')")

    assert "it has no recipient: pass `to`, or set `smtp_to`" in str(ran.error)


def test_a_handler_of_another_cell_is_not_called(kernel: Any) -> None:
    kernel.run("%%step a\ndef handler(pd):\n    return 'a'")
    kernel.run("def handler(pd):\n    raise RuntimeError('called')")

    assert kernel.run("%%step b\n'mine'").value == "mine"


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_handler_that_is_only_text_is_not_called(kernel: Any, keyword: str) -> None:
    assert kernel.run(f'%%step a\ntext = """\n{keyword} handler(pd): ...\n"""\nlen(text)').ok


def test_a_plain_cell_calls_no_handler(kernel: Any) -> None:
    assert kernel.run("def handler(pd):\n    raise RuntimeError('called')").ok


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_an_error_in_a_handler_has_one_traceback_without_lines_of_ours(kernel: Any, keyword: str) -> None:
    ran = kernel.run(f"%%step a\n{keyword} handler(pd):\n    x = 1\n    return x / 0")

    assert ran.text.count("Traceback") == 1
    assert "----> 4     return x / 0" in ran.text
    assert "pauseflow" not in ran.text
