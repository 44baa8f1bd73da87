"""Read a request to start an execution, and freeze its notebook."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pauseflow_nb.engine.queue import Plan, Queue
from pauseflow_nb.errors import InvalidParameter
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.notebook import freeze, inspect_notebook, parse_notebook, read_notebook
from pauseflow_nb.runner.output_file import require_writable
from pauseflow_nb.server.api.parameters_form import draw_parameters, read_parameters

__all__ = ["StartRequest", "inside", "inspect", "start"]


class StartRequest(BaseModel):
    """The body of `POST /pauseflow/api/executions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: Path of the notebook, relative to the server's root directory, with slashes.
    notebook: str = Field(min_length=1)
    #: Where the executed notebook is written as it goes, relative likewise; None: only in the store.
    output: str | None = Field(default=None, pattern=r"\.ipynb$")
    parameters: dict[str, Any] = Field(default_factory=dict)
    #: Instead of `parameters`: what stands in the form that `inspect` draws.
    form: dict[str, list[str]] = Field(default_factory=dict)
    kernel: str | None = None
    checkpoint: Literal["step", "pause"] = "step"
    strict: bool = False
    #: Seconds.
    start_timeout: float = Field(default=60, gt=0)
    #: Seconds that a cell may take; None: for ever.
    execution_timeout: float | None = Field(default=None, gt=0)

    @classmethod
    def read(cls, body: JSON) -> "StartRequest":
        """Read a body.

        Raises:
            InvalidParameter: Naming the field.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as problem:
            error = problem.errors()[0]
            raise InvalidParameter(".".join(map(str, error["loc"])) or "body", error["msg"]) from None


def start(queue: Queue, root: Path, request: StartRequest, by: str) -> str:
    """Start an execution; returns its id. Blocks while the notebook is read.

    Args:
        queue: Where it is queued.
        root: The server's root directory; nothing outside it is read or written.
        request: What to run.
        by: Who starts it.

    Raises:
        InvalidParameter: If a path leads out of the root directory.
        PauseflowError: If the notebook cannot run, or its output is another execution's.
    """
    notebook = inside(root, "notebook", request.notebook)
    output = None if request.output is None else inside(root, "output", request.output)
    require_writable(None if output is None else str(output))
    frozen = freeze(str(notebook), _parameters_of(request, notebook), kernel=request.kernel)
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
    )
    return queue.start(plan)


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
        read = read_notebook(str(inside(root, "notebook", notebook)))
    found = inspect_notebook(read)
    return {"parameters": found.parameters, "steps": found.steps, "form": draw_parameters(read)}


def _parameters_of(request: StartRequest, notebook: Path) -> dict[str, Any]:
    if not request.form:
        return request.parameters
    if request.parameters:
        raise InvalidParameter("form", "cannot be given together with parameters")
    return read_parameters(read_notebook(str(notebook)), request.form)


def inside(root: Path, name: str, path: str) -> Path:
    """Find a path below the server's root directory.

    Raises:
        InvalidParameter: If it leads out of it; `name` says which field it is.
    """
    # Resolved on both sides: a link inside the root directory may lead out of it.
    root = root.expanduser().resolve()
    try:
        found = (root / path.lstrip("/")).resolve()
    except (OSError, ValueError, RuntimeError):
        raise InvalidParameter(name, "is no path") from None
    if not found.is_relative_to(root):
        raise InvalidParameter(name, "leads out of the server's root directory")
    return found
