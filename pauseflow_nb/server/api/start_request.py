"""Read a request to start an execution, and start it."""

import difflib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pauseflow_nb.engine.queue import Plan, Queue
from pauseflow_nb.errors import InvalidParameter, NotebookNotFound
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.notebook import freeze, inspect_notebook, parse_notebook, read_notebook
from pauseflow_nb.runner.output_file import require_writable
from pauseflow_nb.server.api.parameters_form import draw_parameters, read_parameters
from pauseflow_nb.validation_words import reword_error

__all__ = ["StartRequest", "inspect", "resolve_path", "start"]


class StartRequest(BaseModel):
    """The body of `POST /pauseflow/api/executions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: Path of the notebook, relative to the server's root directory, with slashes.
    notebook: str = Field(min_length=1)
    #: Path of the executed notebook, which is written while it runs, also relative; None: only in the store.
    output: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    #: Instead of `parameters`: what stands in the form that `inspect` draws.
    form: dict[str, list[str]] = Field(default_factory=dict)
    kernel: str | None = None
    checkpoint: Literal["step", "pause"] = "step"
    strict: bool = False
    #: Seconds.
    start_timeout: float = Field(default=60, gt=0)
    #: Seconds that a cell may run; None: no limit.
    execution_timeout: float | None = Field(default=None, gt=0)

    @classmethod
    def read(cls, body: JSON) -> "StartRequest":
        """Read a body.

        Raises:
            InvalidParameter: If a field is invalid; names it.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as problem:
            error = problem.errors()[0]
            name = ".".join(map(str, error["loc"])) or "body"
            reason = _unknown(name) if error["type"] == "extra_forbidden" else reword_error(error)
            raise InvalidParameter(name, reason) from None

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
    plan = Plan(
        notebook=str(notebook),
        document=frozen.document,
        output=None if output is None else str(output),
        inputs=frozen.inputs,
        cells=frozen.cells,
        steps=frozen.steps,
        kernel=frozen.kernel,
        interpreter=frozen.interpreter,
        cwd=str(notebook.parent),
        created_by=by,
        options=request.model_dump(include={"checkpoint", "strict", "start_timeout", "execution_timeout"}),
        queues=frozen.queues,
    )
    return queue.start(plan)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, list(StartRequest.model_fields), 1)
    return f"is not a known name; {f'did you mean {close[0]}?' if close else f'known names are: {_names()}'}"


def _names() -> str:
    return ", ".join(StartRequest.model_fields)


def inspect(root: Path, notebook: str | None, content: JSON) -> dict[str, Any]:
    """Say which parameters a notebook takes, with a form for them, and which steps it has.

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


def resolve_path(root: Path, name: str, path: str) -> Path:
    """Resolve a path below the root directory of the server.

    Raises:
        InvalidParameter: If it leads out of that directory; `name` is the name of the field.
    """
    # Resolved on both sides: a link resolve_path the root directory may lead out of it.
    root = root.expanduser().resolve()
    try:
        # Jupyter's own paths may begin with a slash; one of the file system may lie below the root directory.
        whole = Path(path).resolve() if path.startswith("/") else root
        found = whole if whole != root and whole.is_relative_to(root) else (root / path.lstrip("/")).resolve()
    except (OSError, ValueError, RuntimeError):
        raise InvalidParameter(name, "is no valid path") from None
    if not found.is_relative_to(root):
        raise InvalidParameter(name, "leads out of the server's root directory")
    if name == "output" and not found.parent.is_dir():
        folder = found.parent.relative_to(root)
        raise InvalidParameter(
            name,
            f"the server's root directory, from which paths are meant, has no folder {str(folder)!r}",
        )
    return found
