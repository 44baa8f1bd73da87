"""Read a request to start an execution, and freeze its notebook."""

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pauseflow_nb.engine.queue import Plan, Queue
from pauseflow_nb.errors import InvalidParameter, NotebookNotFound
from pauseflow_nb.forms.messages import in_our_words
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.notebook import freeze
from pauseflow_nb.runner.output_file import require_writable

__all__ = ["StartRequest", "inside", "start"]


class StartRequest(BaseModel):
    """The body of `POST /pauseflow/api/executions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: Path of the notebook, relative to the server's root directory, with slashes.
    notebook: str = Field(min_length=1)
    #: Where the executed notebook is written as it goes, relative likewise; None: only in the store.
    output: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
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
            name = ".".join(map(str, error["loc"])) or "body"
            reason = _unknown(name) if error["type"] == "extra_forbidden" else in_our_words(error)
            raise InvalidParameter(name, reason) from None

    @field_validator("output")
    @classmethod
    def _is_notebook(cls, output: str | None) -> str | None:
        if output is not None and not output.endswith(".ipynb"):
            raise ValueError("must end in .ipynb")
        return output


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
    try:
        frozen = freeze(str(notebook), request.parameters, kernel=request.kernel)
    except NotebookNotFound:
        raise NotebookNotFound(request.notebook, "paths are meant from the server's root directory") from None
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


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, list(StartRequest.model_fields), 1)
    return f"is not known here; {f'did you mean {close[0]}?' if close else f'what is: {_names()}'}"


def _names() -> str:
    return ", ".join(StartRequest.model_fields)


def inside(root: Path, name: str, path: str) -> Path:
    """Find a path below the server's root directory.

    Raises:
        InvalidParameter: If it leads out of it; `name` says which field it is.
    """
    # Resolved on both sides: a link inside the root directory may lead out of it.
    root = root.expanduser().resolve()
    try:
        # Jupyter's own paths may begin with a slash; one of the file system may lie below the root directory.
        whole = Path(path).resolve() if path.startswith("/") else root
        found = whole if whole != root and whole.is_relative_to(root) else (root / path.lstrip("/")).resolve()
    except (OSError, ValueError, RuntimeError):
        raise InvalidParameter(name, "is no path") from None
    if not found.is_relative_to(root):
        raise InvalidParameter(name, "leads out of the server's root directory")
    if name == "output" and not found.parent.is_dir():
        folder = found.parent.relative_to(root)
        raise InvalidParameter(
            name,
            f"the server's root directory, from which paths are meant, has no folder {str(folder)!r}",
        )
    return found
