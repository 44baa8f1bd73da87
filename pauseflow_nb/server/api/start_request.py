"""Read a request to start an execution, or the form of its parameters, and start it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nbformat import NotebookNode
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pauseflow_nb.engine.plan import Plan
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import InvalidParameter, InvalidParameters, NotebookNotFound
from pauseflow_nb.forms.codec import ROOT, Entries, escaped, initial_entries, read_form
from pauseflow_nb.forms.controls import draw
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.notebook import freeze, inspect_notebook
from pauseflow_nb.runner.notebook_file import find_language, parse_notebook, read_notebook
from pauseflow_nb.runner.output_file import require_writable
from pauseflow_nb.runner.parameters import Parameter, find_parameters
from pauseflow_nb.server.api.request_fields import resolve_path

_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


class StartRequest(BaseModel):
    """The body of `POST /pauseflow/api/executions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: Path of the notebook, relative to the server's root directory, with slashes.
    notebook: str = Field(min_length=1)
    #: Path of the executed notebook, which is written while it runs, also relative; None: only in the store.
    output: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    #: Instead of `parameters`: the contents of the form from `inspect`.
    form: dict[str, list[str]] = Field(default_factory=dict)
    kernel: str | None = None
    checkpoint: Literal["step", "pause"] = "step"
    strict: bool = False
    #: Seconds that the kernel may take to start.
    start_timeout: float = Field(default=60, gt=0)
    #: Seconds that a cell may run; None: no limit.
    execution_timeout: float | None = Field(default=None, gt=0)

    @field_validator("output")
    @classmethod
    def _is_notebook(cls, output: str | None) -> str | None:
        if output is not None and not output.endswith(".ipynb"):
            raise ValueError("must end in .ipynb")
        return output


def start(queue: Queue, root: Path, request: StartRequest, by: str) -> str:
    """Start an execution; returns its id. Blocks while it reads the notebook.

    Args:
        queue: The store.
        root: The server's root directory; nothing outside it is read or written.
        request: The notebook and its options.
        by: The user who starts it.

    Raises:
        InvalidParameter: If a path leads out of the root directory.
        PauseflowError: If the notebook cannot run, or its output belongs to another execution.
    """
    notebook = resolve_path(root, "notebook", request.notebook)
    output = None if request.output is None else resolve_path(root, "output", request.output)
    require_writable(None if output is None else str(output))
    try:
        frozen = freeze(str(notebook), _read_parameters(request, notebook), kernel=request.kernel)
    except NotebookNotFound:
        raise NotebookNotFound(request.notebook, "paths are relative to the root directory of the server") from None
    plan = Plan.of(
        frozen,
        notebook=str(notebook),
        output=None if output is None else str(output),
        cwd=str(notebook.parent),
        created_by=by,
        options=request.model_dump(include={"checkpoint", "strict", "start_timeout", "execution_timeout"}),
    )
    return queue.start(plan)


def inspect(root: Path, notebook: str | None, content: JSON) -> dict[str, Any]:
    """Return the parameters of a notebook with a form for them, and its steps.

    Args:
        root: The server's root directory; nothing outside it is read.
        notebook: Its path, relative to that.
        content: The notebook itself, instead of its path.

    Raises:
        InvalidParameter: If neither or both are given, or the path leads out of the root directory.
        PauseflowError: If the notebook cannot be read.
    """
    if (notebook is None) == (content is None):
        raise InvalidParameter("notebook", "or `content` must be given, and not both")
    if notebook is None:
        read = parse_notebook(json.dumps(content), "content")
    else:
        read = read_notebook(str(resolve_path(root, "notebook", notebook)))
    found = inspect_notebook(read)
    return {"parameters": found.parameters, "steps": found.steps, "form": draw_parameters(read)}


def _read_parameters(request: StartRequest, notebook: Path) -> dict[str, Any]:
    if not request.form:
        return request.parameters
    if request.parameters:
        raise InvalidParameter("form", "cannot be given together with parameters")
    return read_parameters(read_notebook(str(notebook)), request.form)


def draw_parameters(notebook: NotebookNode) -> dict[str, Any] | None:
    """Make the form of the parameters; None if the notebook has none."""
    schema = _make_schema(notebook)
    return draw(schema).to_dict() if schema["properties"] else None


def read_parameters(notebook: NotebookNode, entries: Entries) -> dict[str, JSON]:
    """Read the form; leave out a parameter that has the notebook's own value.

    Raises:
        InvalidParameters: If a text cannot be read.
    """
    schema = _make_schema(notebook)
    reading = read_form(schema, entries)
    if reading.problems:
        raise InvalidParameters(reading.place(reading.problems))
    first = initial_entries(schema)
    names = {name: f"{ROOT}/{escaped(name)}" for name in schema["properties"]}
    changed = {name for name, its in names.items() if _filled(entries, its, first) != _filled(first, its, {})}
    return {name: value for name, value in reading.value.items() if name in changed}


def _filled(entries: Entries, name: str, otherwise: Entries) -> list[str]:
    return [text for text in entries.get(name, otherwise.get(name, [])) if text]


def _make_schema(notebook: NotebookNode) -> dict[str, Any]:
    found = find_parameters(notebook, language=find_language(notebook))
    return {"type": "object", "properties": {each.name: _make_property(each) for each in found}}


def _make_property(parameter: Parameter) -> dict[str, Any]:
    hints = [parameter.comment]
    if not parameter.is_literal:
        hints.append(f"JSON; if left empty: {parameter.expression}")
    described = {"title": parameter.name, "description": ". ".join(filter(None, hints))}
    default = {} if parameter.value is None else {"default": parameter.value}
    return {**described, **_typed(parameter), **default}


def _typed(parameter: Parameter) -> Mapping[str, Any]:
    value, annotation = parameter.value, parameter.annotation
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        # `ratio = 1` may be 1.5 next time; only an annotation says that it is an integer.
        return {"type": "integer" if annotation == "int" else "number"}
    if isinstance(value, str):
        return {"type": "string", **({"format": "textarea"} if "\n" in value else {})}
    known = _TYPES.get(annotation.removeprefix("Optional[").removesuffix("]").removesuffix(" | None"))
    return {"anyOf": [{"type": known}, {"type": "null"}]} if known and parameter.is_literal and value is None else {}
