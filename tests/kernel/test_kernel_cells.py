"""A step's code behaves as in any other cell."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from pauseflow_nb.kernel.cell_transform import StepCells, collect_stored_names, header_to_literal

KernelT = Any


def test_a_plain_cell_is_left_as_it_is() -> None:
    lines = ["x = 1\n", "%%step a\n"]

    assert header_to_literal(lines) is lines


def test_only_the_first_line_changes_and_the_lines_keep_their_numbers() -> None:
    assert header_to_literal(["%%step a --retries 3\n", "x = 1\n", "\n", "y"]) == [
        "'%%step a --retries 3'\n",
        "x = 1\n",
        "\n",
        "y",
    ]


def test_the_text_stage_gives_the_same_result_each_time_and_changes_no_argument() -> None:
    lines = ["%%step a\n", "%%time\n", "x = 1\n"]

    assert header_to_literal(lines) == header_to_literal(list(lines))
    assert lines == ["%%step a\n", "%%time\n", "x = 1\n"]


def test_a_bad_header_does_not_raise_before_the_cell_runs() -> None:
    assert header_to_literal(["%%step 1x --what\n"]) == ["'%%step 1x --what'\n"]


def test_a_magic_that_only_begins_alike_is_not_ours() -> None:
    assert header_to_literal(["%%stepper a\n"]) == ["%%stepper a\n"]


def test_a_console_sees_a_finished_step_as_complete() -> None:
    manager = TransformerManager()  # type: ignore[no-untyped-call]
    manager.cleanup_transforms.append(header_to_literal)

    assert manager.check_complete("%%step a\nx = 1\n")[0] == "complete"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x = y = 1; import os.path as p", {"x", "y", "p"}),
        ("def f():\n    global g\n    g = l = 1", {"f", "g"}),
        ("class C:\n    attribute = 1", {"C"}),
        ("for i in []: pass\n[j for j in []]\nawait z", {"i"}),
    ],
)
def test_names_that_a_cell_binds_are_read_from_its_code(source: str, names: set[str]) -> None:
    tree = compile(source, "x", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    assert collect_stored_names(tree) == names


def test_the_last_expression_is_shown_and_is_the_value(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\nx = 5\nx + 1")

    assert (ran.ok, ran.value) == (True, 6)
    assert "6" in ran.text
    assert kernel.names["x"] == 5


def test_a_semicolon_silences_the_last_expression(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\n6;")

    assert (ran.value, ran.text) == (None, "")
    assert kernel.names["steps"].a["$return_value"] is None


def test_an_empty_step_runs(kernel: KernelT) -> None:
    assert kernel.run("%%step a").ok
    assert kernel.run("%%step b\n# nothing yet\n").ok


@pytest.mark.parametrize("blank", ["\n\n", "  \n\n", "\n   "])
def test_blank_lines_and_blanks_before_the_header_do_not_matter(kernel: KernelT, blank: str) -> None:
    assert kernel.run(f"{blank}%%step a\nx = 1").ok
    assert "a" in kernel.names["steps"]


def test_await_works_at_the_top_of_a_step(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\nimport asyncio\nx = await asyncio.sleep(0, 'slept')\nx")

    assert ran.value == "slept"


def test_magics_and_shell_commands_work_inside(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\nlines = !echo hello\n%pinfo2 len\nlines[0]")

    assert ran.value == "hello"


def test_another_cell_magic_may_stand_under_the_header(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\n\n%%time\nx = 3\nx")

    assert (ran.ok, ran.value, kernel.names["x"]) == (True, 3, 3)
    assert "Wall time" in ran.text
    assert kernel.names["steps"].a["$return_value"] == 3


@pytest.mark.parametrize("magic", ["time", "capture captured", "prun -q", "bash"])
def test_an_error_under_another_cell_magic_fails_the_step(kernel: KernelT, magic: str) -> None:
    ran = kernel.run(f"%%step a\n%%{magic}\n1 / 0")

    assert not ran.ok
    assert "Error" in ran.shown
    assert "a" not in kernel.names["steps"]


def test_an_older_error_does_not_fail_a_step_with_a_cell_magic(kernel: KernelT) -> None:
    kernel.run("1 / 0")

    assert kernel.run("%%step a\n%%time\n1").ok


def test_a_pause_under_another_cell_magic_is_a_pause(kernel: KernelT) -> None:
    assert type(kernel.run("%%step a\n%%time\nflow.suspend()").error).__name__ == "Paused"


def test_imports_of_the_future_and_of_everything_work(kernel: KernelT) -> None:
    ran = kernel.run(
        "%%step a\nfrom __future__ import annotations\nfrom math import *\ndef f(x: missing): pass\n"
        "f.__annotations__['x'], floor(pi)"
    )

    assert ran.value == ("missing", 3)


@pytest.mark.parametrize("header", ["%%setup", "%%step a"])
def test_imports_of_the_future_come_first_in_what_a_cell_becomes(kernel: KernelT, header: str) -> None:
    """IPython runs a cell statement by statement; others compile it as a whole."""
    source = kernel.shell.transform_cell(f"{header}\nfrom __future__ import annotations\nx: int = 1")

    tree = StepCells(kernel.shell).visit(ast.parse(source))

    assert isinstance(tree, ast.Module)
    compile(ast.fix_missing_locations(tree), "<cell>", "exec", dont_inherit=True)


def test_every_expression_is_shown_where_the_shell_says_so(kernel: KernelT) -> None:
    kernel.shell.ast_node_interactivity = "all"

    ran = kernel.run("%%step a\n'first'\n'second'")

    assert ran.text.index("first") < ran.text.index("second")


def test_nothing_is_shown_where_the_shell_says_so(kernel: KernelT) -> None:
    kernel.shell.ast_node_interactivity = "none"

    assert kernel.run("%%step a\n'first'").text == ""


def test_an_error_has_one_traceback_with_the_right_lines_and_none_of_ours(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\ndef f():\n    return 1 / 0\n\nf()")

    assert isinstance(ran.error, ZeroDivisionError)
    assert ran.text.count("Traceback") == 1
    assert "----> 5 f()" in ran.text
    assert "----> 3     return 1 / 0" in ran.text
    for ours in ("pauseflow", "get_ipython", "attempt"):
        assert ours not in ran.text


def test_an_error_on_the_first_line_shows_the_header_and_nothing_of_ours(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\n1 / 0")

    assert "      1 '%%step a'\n----> 2 1 / 0" in ran.text
    assert "pauseflow" not in ran.text


def test_an_error_after_an_await_has_one_traceback(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0")

    assert ran.text.count("Traceback") == 1
    assert "----> 4 1 / 0" in ran.text


def test_a_syntax_error_is_shown_at_its_line(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\nx = 1\ny = = 2")

    assert isinstance(ran.error, SyntaxError)
    assert ran.error.lineno == 3


@pytest.mark.parametrize("statement", ["break", "continue", "return 1"])
def test_a_stray_statement_is_refused_before_anything_runs(kernel: KernelT, statement: str) -> None:
    ran = kernel.run(f"%%step a\nx = 1\n{statement}")

    assert isinstance(ran.error, SyntaxError)
    assert "x" not in kernel.names


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("%%step", "write `%%step NAME`"),
        ("%%step 1a", "must be a Python identifier"),
        ("%%step class", "must be a Python identifier"),
        ("%%step trigger", "reserved"),
        ("%%step a --retry 3", "there is no option --retry: did you mean --retries?"),
        ("%%step a --timeout 10", 'must look like "500ms"'),
        ("%%step a 'b", "cannot be read"),
        ("%%setup now", "takes no name"),
    ],
)
def test_a_bad_header_is_one_clear_line_and_nothing_runs(kernel: KernelT, header: str, sentence: str) -> None:
    ran = kernel.run(f"{header}\nx = 1")

    assert type(ran.error).__name__ == "InvalidStep"
    assert sentence in ran.text
    assert "Traceback" not in ran.text
    assert "x" not in kernel.names


def test_a_step_cannot_run_inside_a_step(kernel: KernelT) -> None:
    kernel.run("%%step a\nr = get_ipython().run_cell('%%step b\\nx = 1')\nok = r.success")

    assert kernel.names["ok"] is False
    assert "x" not in kernel.names
    assert list(kernel.names["steps"]) == ["a"]


def test_cells_that_a_step_runs_do_not_end_it(kernel: KernelT) -> None:
    ran = kernel.run("%%step a\nget_ipython().run_cell('x = 1')\nget_ipython().run_cell('')\nflow.export('y', x)\n7")

    assert ran.ok
    assert kernel.names["steps"].a == {"y": 1, "$return_value": 7}


def test_steps_of_another_notebook_are_refused_and_not_skipped(kernel: KernelT, tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(f"%%step {name}\nx = 1") for name in "ab"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "other.ipynb")

    ran = kernel.run(f"%run {tmp_path / 'other.ipynb'}")

    assert "a step runs only as a cell of its own" in ran.text
    assert "x" not in kernel.names
    assert list(kernel.names["steps"]) == []


def test_a_step_may_be_run_by_a_plain_cell(kernel: KernelT) -> None:
    assert kernel.run("r = get_ipython().run_cell('%%step b\\n5')").ok
    assert kernel.names["steps"].b["$return_value"] == 5


def test_a_setup_cell_runs_as_any_other(kernel: KernelT) -> None:
    ran = kernel.run("%%setup\nx = 1\nx + 1")

    assert ran.value == 2
    assert kernel.session.bindings.remade == {"x"}


def test_loading_twice_keeps_the_session_and_prints_nothing(kernel: KernelT) -> None:
    session = kernel.session

    ran = kernel.run("%load_ext pauseflow_nb")

    assert (ran.ok, ran.shown, ran.warnings) == (True, "", "")
    assert kernel.shell.pauseflow is session
    assert kernel.run("%%step a\n1").value == 1


def test_loading_binds_names_only_where_they_are_free(new_kernel: Callable[[], KernelT]) -> None:
    kernel = new_kernel()
    kernel.run("flow = 'mine'; del steps\n%load_ext pauseflow_nb")

    assert kernel.names["flow"] == "mine"
    assert type(kernel.names["steps"]).__name__ == "Steps"


def test_the_names_can_be_imported(kernel: KernelT) -> None:
    kernel.run("del flow, steps")

    assert kernel.run("from pauseflow_nb import flow, steps").ok
    assert kernel.run("%%step a\nflow.export('x', 1)").ok
    assert kernel.run("steps.a.x").value == 1


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("x = 1\n%%step a\ny = 1", "InvalidStep: step 'a': `%%step` must stand in the first line of its cell"),
        ("%step a", "InvalidStep: step 'a': `%step` needs two percent signs"),
        ("%%steps a\nx = 1", "InvalidStep: there is no cell magic `%%steps`: did you mean `%%step NAME`"),
        ("%%step my b\nx = 1", "InvalidStep: step 'my': a name is one word: write `%%step my_b`"),
    ],
)
def test_a_header_that_is_none_is_said_in_one_line_and_nothing_runs(kernel: Any, cell: str, sentence: str) -> None:
    ran = kernel.run(cell)

    assert sentence in ran.text
    assert len(ran.text.strip().splitlines()) == 1
    assert not {"x", "y"} & kernel.names.keys()


def test_a_cell_magic_of_the_users_own_is_no_mistake(kernel: Any) -> None:
    kernel.run(
        "from IPython.core.magic import register_cell_magic\n@register_cell_magic\ndef steps_(line, cell): return 7"
    )

    assert kernel.run("%%steps_\n1").value == 7
