"""What a notebook takes, as the panel's dialog asks for it, and a start with the texts of that dialog."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch

SOURCE = """\
trees: int = 200  # how many
ratio = 0.5
name = 'wine'
path = 'a#b'
is_big = True
items = [1, 2]
when = datetime.now()
nobody: str | None = None
seed = 7615917337495251231
"""


def notebook(source: str = SOURCE) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("%%step train\n1")])


@pytest.fixture
def path(jp_root_dir: Path) -> str:
    nbformat.write(notebook(), jp_root_dir / "wine.ipynb")
    return "wine.ipynb"


def inspect(fetch: "Fetch", **body: Any) -> Any:
    return json.loads(fetch("pauseflow/api/inspect", json=body).body)


def texts(form: dict[str, Any]) -> dict[str, list[str]]:
    return {field["name"]: field["texts"] for field in form["fields"]}


def test_a_notebook_is_inspected_as_the_command_does_and_its_form_is_drawn(fetch: "Fetch", path: str) -> None:
    found = inspect(fetch, notebook=path)

    assert found["steps"] == ["train"]
    assert found["parameters"][0] == {
        "name": "trees",
        "inferred_type_name": "int",
        "default": "200",
        "help": "how many",
    }
    kinds = {field["name"]: field["kind"] for field in found["form"]["fields"]}
    assert kinds["answer/trees"] == "integer"
    assert kinds["answer/ratio"] == "number"
    assert kinds["answer/is_big"] == "boolean"
    assert kinds["answer/items"] == kinds["answer/when"] == "json"
    assert texts(found["form"])["answer/path"] == ["a#b"]
    assert texts(found["form"])["answer/seed"] == ["7615917337495251231"]
    assert [field["label"] for field in found["form"]["fields"]][:3] == ["trees", "ratio", "name"]


def test_what_is_not_saved_is_inspected_by_its_content(fetch: "Fetch") -> None:
    found = inspect(fetch, content=json.loads(nbformat.writes(notebook("fresh = 1"))))

    assert texts(found["form"]) == {"answer/fresh": ["1"]}


def test_a_notebook_without_parameters_has_no_form(fetch: "Fetch") -> None:
    found = inspect(fetch, content=json.loads(nbformat.writes(nbformat.v4.new_notebook())))

    assert found["form"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"notebook": "wine.ipynb", "content": {}}, 400),
        ({"notebook": "../secret.ipynb"}, 400),
        ({"notebook": "missing.ipynb"}, 404),
        ({"content": {"nbformat": 4}}, 400),
        ({"content": "text"}, 400),
        ({"content": {"nbformat": 4, "cells": [7]}}, 400),
    ],
)
def test_what_cannot_be_inspected_is_refused_with_a_sentence(
    fetch: "Fetch", path: str, body: dict[str, Any], status: int
) -> None:
    answer = fetch("pauseflow/api/inspect", json=body)

    assert answer.code == status, path
    assert json.loads(answer.body)["error"]


def start(fetch: "Fetch", path: str, **typed: list[str]) -> Any:
    form = texts(inspect(fetch, notebook=path)["form"])
    form |= {f"answer/{name}": its for name, its in typed.items()}
    answer = fetch("pauseflow/api/executions", json={"notebook": path, "form": form})
    return answer.code, json.loads(answer.body)


def test_a_form_starts_a_notebook_with_what_was_changed(fetch: "Fetch", path: str) -> None:
    status, started = start(
        fetch, path, trees=["1_000"], name=[""], is_big=[], items=["[3]"], when=['"2026-11-20"'], ratio=["7"]
    )

    assert status == 201
    assert {name: started["parameters"][name] for name in ("trees", "name", "is_big", "items", "when", "ratio")} == {
        "trees": 1000,
        "name": "",
        "is_big": False,
        "items": [3],
        "when": "2026-11-20",
        "ratio": 7,
    }


def test_what_stands_as_it_was_is_not_injected(fetch: "Fetch", stage: "Stage", path: str) -> None:
    _, started = start(fetch, path, trees=["7"])

    document = nbformat.reads(stage.queue.document(started["id"]).decode(), as_version=4)
    [injected] = [cell for cell in document.cells if "injected-parameters" in cell.metadata.tags]
    assert injected.source.splitlines()[1:] == ["trees = 7"]
    # A browser that sent this number as one would have rounded it.
    assert started["parameters"]["seed"] == 7615917337495251231


def test_a_text_that_cannot_be_read_is_refused_beside_its_input(fetch: "Fetch", stage: "Stage", path: str) -> None:
    status, refused = start(fetch, path, ratio=["half"], trees=["1,000"])

    assert status == 422
    assert {error["input"]["name"] for error in refused["errors"]} == {"answer/ratio", "answer/trees"}
    assert "ratio" in refused["error"]
    assert stage.queue.list() == []


def test_a_form_beside_parameters_is_refused(fetch: "Fetch", path: str) -> None:
    answer = fetch(
        "pauseflow/api/executions",
        json={"notebook": path, "form": {"answer/trees": ["1"]}, "parameters": {"trees": 2}},
    )

    assert answer.code == 400
