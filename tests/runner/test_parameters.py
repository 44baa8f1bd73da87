"""The parameters of a notebook and their defaults, read from the tagged cell without running it."""

from typing import Any

import nbformat

from pauseflow_nb.runner.parameters import Parameter, find_parameters, read_defaults

SOURCE = '''\
trees: int = 200  # how many
path = "a#b"  # where
text = """first
b = 3
"""
items = [
    1,
    2,  # two
]
x = y = 5
when = datetime.now()  # the day
big = 7615917337495251231
none: "str | None" = None
trees = 300  # again
'''


def notebook(source: str, *, language: str = "python") -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    kernel = {"name": language, "display_name": language, "language": language}
    return nbformat.NotebookNode(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}))


def found(source: str, **options: Any) -> dict[str, Parameter]:
    return {each.name: each for each in find_parameters(notebook(source), language="python", **options)}


def test_literals_are_read_exactly_and_the_last_assignment_counts() -> None:
    assert {name: each.value for name, each in found(SOURCE).items() if each.is_literal} == {
        "path": "a#b",
        "text": "first\nb = 3\n",
        "items": [1, 2],
        "x": 5,
        "y": 5,
        "big": 7615917337495251231,
        "none": None,
        "trees": 300,
    }
    assert list(found(SOURCE))[-1] == "trees"


def test_a_comment_is_found_where_a_text_holds_the_mark_of_one() -> None:
    assert found(SOURCE)["path"].comment == "where"
    assert found(SOURCE)["text"].comment == ""


def test_what_is_no_literal_is_shown_as_it_is_written() -> None:
    when = found(SOURCE)["when"]

    assert (when.is_literal, when.value, when.expression, when.comment) == (False, None, "datetime.now()", "the day")


def test_a_literal_that_json_does_not_have_is_none() -> None:
    assert not found("a = {1, 2}")["a"].is_literal
    assert not found("a = b'x'")["a"].is_literal
    assert not found("a = 1j")["a"].is_literal


def test_a_text_that_looks_like_an_assignment_is_no_parameter() -> None:
    assert "b" not in found(SOURCE)


def test_another_language_and_a_magic_are_read_as_papermill_reads_them() -> None:
    r = notebook("alpha <- 0.6  # rate\n", language="R")

    assert [each.name for each in find_parameters(r, language="R")] == []
    assert [each.name for each in find_parameters(notebook("%time\na = 3"), language="python")] == ["a"]
    assert read_defaults(notebook("%time\na = 3")) == {}


def test_a_notebook_without_a_tagged_cell_has_no_parameters() -> None:
    plain = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 1")])

    assert find_parameters(plain, language="python") == []
    assert read_defaults(plain) == {}
