"""A request to start an execution that cannot be taken is answered in words for who sent it."""

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

if TYPE_CHECKING:
    from server.extension.conftest import Fetch

API = "pauseflow/api/executions"


@pytest.fixture
def there(jp_root_dir: Path) -> Path:
    made = new_notebook(cells=[new_code_cell("1")])
    made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(made, jp_root_dir / "n.ipynb")
    return jp_root_dir / "n.ipynb"


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (
            {"notebook": "gone.ipynb"},
            404,
            "no notebook at gone.ipynb: paths are relative to the root directory of the server",
        ),
        ({"notebook": "n.ipynb", "output": "out.txt"}, 400, "parameter output: must end in .ipynb"),
        (
            {"notebook": "n.ipynb", "output": "/srv/no such/out.ipynb"},
            400,
            "parameter output: the server's root directory, from which paths are meant, has no folder 'srv/no such'",
        ),
        (
            {"notebook": "n.ipynb", "outptu": "o.ipynb"},
            400,
            "parameter outptu: is not a known name; did you mean output?",
        ),
        ({"notebook": "n.ipynb", "zzz": 1}, 400, "is not a known name; known names are: notebook, output, parameters"),
        ({"notebook": "n.ipynb", "checkpoint": "never"}, 400, "parameter checkpoint: must be 'step' or 'pause'"),
        ({"notebook": "n.ipynb", "start_timeout": "soon"}, 400, "parameter start_timeout: must be a number"),
        ({"notebook": "n.ipynb", "start_timeout": 0}, 400, "parameter start_timeout: must be more than 0"),
        ({"notebook": 7}, 400, "parameter notebook: must be text"),
        ({}, 400, "parameter notebook: is required"),
        ({"notebook": "n.ipynb", "parameters": {"not ident": 1}}, 400, "a name must be a Python identifier"),
        ({"notebook": "n.ipynb", "parameters": [1]}, 400, "parameter parameters: must be an object"),
    ],
)
def test_what_cannot_be_taken_is_said(
    fetch: "Fetch", there: Path, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = fetch(API, json=body)

    assert sentence in loads(answer.body)["error"]
    assert answer.code == status
    assert "working directory" not in loads(answer.body)["error"]


def test_a_trigger_with_an_unknown_field_is_refused_with_the_name_that_was_probably_meant(
    fetch: "Fetch", there: Path
) -> None:
    answer = fetch("pauseflow/api/triggers", json={"notebook": "n.ipynb", "evrey": "10m"})

    assert answer.code == 400
    assert loads(answer.body)["error"] == "parameter evrey: is not a known name; did you mean every?"


@pytest.mark.parametrize("path", ["out.ipynb", "/out.ipynb", "{root}/out.ipynb"])
def test_a_path_may_begin_at_the_root_of_the_server_or_of_the_file_system(
    fetch: "Fetch", there: Path, jp_root_dir: Path, path: str
) -> None:
    answer = fetch(API, json={"notebook": "n.ipynb", "output": path.format(root=jp_root_dir)})

    assert answer.code == 201
    assert loads(answer.body)["output"] == str((jp_root_dir / "out.ipynb").resolve())
