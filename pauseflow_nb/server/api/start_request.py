"""Read a request to start an execution, and start it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pauseflow_nb.engine.queue import Plan, Queue
from pauseflow_nb.errors import InvalidParameter
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.notebook import freeze
from pauseflow_nb.runner.output_file import require_writable

__all__ = ["StartRequest", "resolve_path", "start"]


class StartRequest(BaseModel):
    """The body of `POST /pauseflow/api/executions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: Path of the notebook, relative to the server's root directory, with slashes.
    notebook: str = Field(min_length=1)
    #: Path of the executed notebook, which is written while it runs, also relative; None: only in the store.
    output: str | None = Field(default=None, pattern=r"\.ipynb$")
    parameters: dict[str, Any] = Field(default_factory=dict)
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
            raise InvalidParameter(".".join(map(str, error["loc"])) or "body", error["msg"]) from None


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
    frozen = freeze(str(notebook), request.parameters, kernel=request.kernel)
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


def resolve_path(root: Path, name: str, path: str) -> Path:
    """Resolve a path below the root directory of the server.

    Raises:
        InvalidParameter: If it leads out of that directory; `name` is the name of the field.
    """
    # Resolved on both sides: a link resolve_path the root directory may lead out of it.
    root = root.expanduser().resolve()
    try:
        found = (root / path.lstrip("/")).resolve()
    except (OSError, ValueError, RuntimeError):
        raise InvalidParameter(name, "is no valid path") from None
    if not found.is_relative_to(root):
        raise InvalidParameter(name, "leads out of the server's root directory")
    return found
