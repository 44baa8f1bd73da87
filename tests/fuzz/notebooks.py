"""Targets that read notebooks: the cell headers, their way to code, and whole files."""

import ast
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz.target import Check, Target, pure
from fuzz.values import bytes_damaged, json_texts, json_values, names, text_damaged, texts
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from shells import new_shell
from traitlets.config import Config

from pauseflow_nb.cells import find_steps, read_header
from pauseflow_nb.errors import InvalidNotebook, InvalidParameter, InvalidStep, KernelUnavailable
from pauseflow_nb.kernel.cell_transform import StepCells, find_stored_names, header_to_literal
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.notebook import freeze, inspect_file

__all__ = ["TARGETS", "notebook_files", "sources"]

_HEADERS = (
    "%%step a", "%%step approve --timeout 10m --retries 3 --retry-delay 30s --backoff 2", "%%setup", "%%step", "%%step ä", "%%step ﬁ",
    "%%step trigger", "%%step class", "%%step __x__", "%%step 'a b'", '%%step "', "%%step a --retries=-1", "%%step a --backoff nan",
    "%%step a --backoff inf", "%%step a --retries 9999999999999999999999", "%%step a --timeout", "%%step a -- b", "%%setup x", "%%stepa",
    "  %%step a", "\n\n%%step a", "# comment\n%%step a", "%%step\ta", "%%step a # comment", "%%step a --retries ٣", "%%step a --ret 3", "",
)  # fmt: skip
_BODIES = (
    "flow.suspend()", "1\n2", "%%time\n1", "await x", "def handler(pd):\n    return 1", "async def handler(pd):\n    await pd", "x = 1;", "!ls", "%pwd",
    "break", "return 1", "yield 1", "from __future__ import annotations\nx: int = 1", "'''doc'''", "class A:\n    x = 1", "\tif 1:\n  x", "x?", "lambda: (yield)",
    "global x; x = 1", "for i in range(3):\n    continue", "match x:\n    case [*a]: pass", "print('\x1b[31m')", "\f", "\x00", "#", "%%html\n<b>", "import *",
)  # fmt: skip

#: Sources of cells, most of them headed.
sources = st.one_of(
    st.builds("{}\n{}".format, text_damaged(st.sampled_from(_HEADERS)), text_damaged(st.sampled_from(_BODIES))),
    st.builds("{}\n{}".format, st.sampled_from(_HEADERS), st.sampled_from(_BODIES)),
    text_damaged(st.sampled_from(_BODIES)),
    texts,
)


def _check_headers(given: list[str]) -> None:
    for source in given:
        try:
            header = read_header(source)
        except InvalidStep as problem:
            assert str(problem)
            continue
        assert header is None or header.kind == "setup" or header.name.isidentifier()
    try:
        headers = find_steps(enumerate(given))
    except InvalidStep:
        return
    steps = [header.name for header in headers.values() if header.kind == "step"]
    assert len(set(steps)) == len(steps)


@contextmanager
def _shell(_folder: Path) -> Iterator[Check]:
    config = Config()
    config.HistoryManager.enabled = False
    shell = new_shell(config)
    shell.input_transformers_cleanup.append(header_to_literal)
    cells = StepCells(shell)

    def check(source: str) -> None:
        lines = source.splitlines(keepends=True)
        # IPython calls it several times, and for cells that it never executes.
        assert header_to_literal(list(lines)) == header_to_literal(list(lines))
        find_stored_names(source)
        try:
            text = shell.transform_cell(source)  # type: ignore[no-untyped-call]
            tree = ast.parse(text)
            compile(tree, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError):
            # IPython reports it as it does for any cell.
            return
        rewritten = cells.visit(ast.parse(text))
        assert isinstance(rewritten, ast.Module)
        compile(
            ast.fix_missing_locations(rewritten),
            "<cell>",
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )

    yield check


_outputs = st.one_of(
    st.sampled_from(
        [
            {"output_type": "stream", "name": "stdout", "text": "x"},
            {"output_type": "display_data", "data": {"text/html": "<script>1</script>"}, "metadata": {}},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31m"]},
            {"output_type": "execute_result", "execution_count": 1, "data": {"text/plain": ["a", "b"]}, "metadata": {}},
        ]
    ),
    json_values,
)
_tags = st.lists(
    st.one_of(st.sampled_from(["parameters", "injected-parameters", "interactive-only", "raises-exception"]), texts),
    max_size=2,
)
_cell_metadata = st.one_of(
    st.builds(lambda tags: {"tags": tags}, _tags), st.dictionaries(names, json_values, max_size=2), json_values
)


@st.composite
def _cells(draw: DrawFn) -> Any:
    cell: dict[str, Any] = {
        "cell_type": draw(st.sampled_from(["code", "code", "code", "markdown", "raw", "heading", ""])),
        "id": draw(st.one_of(st.sampled_from(["a", "b", "a b", "", "x" * 65]), texts)),
        "metadata": draw(_cell_metadata),
        "source": draw(st.one_of(sources, sources.map(lambda text: text.splitlines(keepends=True)), json_values)),
    }
    if cell["cell_type"] == "code":
        cell |= {
            "outputs": draw(st.lists(_outputs, max_size=2)),
            "execution_count": draw(st.one_of(st.none(), st.integers(), json_values)),
        }
    missing = draw(st.sampled_from([None, None, None, None, *cell]))
    return (
        draw(json_values)
        if missing == "source" and draw(st.booleans())
        else {k: v for k, v in cell.items() if k != missing}
    )


_notebook_metadata = st.fixed_dictionaries(
    {},
    optional={
        "kernelspec": st.one_of(
            st.just({"name": "python3", "display_name": "x", "language": "python"}),
            json_values,
            st.builds(lambda n: {"name": n}, texts),
        ),
        "language_info": st.one_of(st.just({"name": "python"}), json_values),
        "papermill": json_values,
        "pauseflow": json_values,
        "widgets": json_values,
        "title": texts,
    },
)
_versions = st.sampled_from(
    [(4, 5)] * 6 + [(4, 4), (4, 2), (4, 0), (3, 0), (2, 0), (1, 0), (4, 99), (5, 0), (-1, 0), (10**30, 0)]
)


@st.composite
def _notebooks(draw: DrawFn) -> str:
    major, minor = draw(_versions)
    cells = draw(st.lists(_cells(), max_size=4))
    made = {"nbformat": major, "nbformat_minor": minor, "metadata": draw(_notebook_metadata), "cells": cells}
    if major < 4:
        made["worksheets"] = [{"cells": made.pop("cells"), "metadata": {}}]
    return json.dumps(made)


#: The bytes of notebooks: good ones, damaged ones, and files that are none.
notebook_files = st.one_of(
    _notebooks().map(str.encode),
    _notebooks().map(str.encode),
    text_damaged(_notebooks()).map(lambda text: text.encode("utf-8", "replace")),
    bytes_damaged(_notebooks().map(str.encode)),
    json_texts.map(lambda text: text.encode("utf-8", "replace")),
)
_parameters = st.dictionaries(st.sampled_from(["alpha", "x", "ä", "flow"]), json_values, max_size=2)


@contextmanager
def _files(folder: Path) -> Iterator[Check]:
    file = folder / "in.ipynb"

    def check(given: tuple[bytes, dict[str, Any]]) -> None:
        data, parameters = given
        file.write_bytes(data)
        try:
            inspect_file(str(file))
        except (InvalidNotebook, InvalidStep) as problem:
            assert str(problem)
        try:
            frozen = freeze(str(file), parameters)
        except (InvalidNotebook, InvalidStep, InvalidParameter, KernelUnavailable) as problem:
            assert str(problem)
            return
        document = Document.from_bytes(frozen.document)
        assert len(document.cells) == frozen.cells
        document.for_people()

    yield check


TARGETS = [
    pure("cell headers", st.lists(sources, max_size=3), _check_headers, share=40),
    Target("cells", sources, _shell, share=30),
    Target("notebooks", st.tuples(notebook_files, _parameters), _files, share=25),
]
