"""Plan the notebooks that a step starts with `flow.run_notebook` when it ends."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pauseflow_nb.errors import InvalidValue, NotebookNotFound
from pauseflow_nb.kernel.exports import as_json
from pauseflow_nb.kernel.secret import name_secrets
from pauseflow_nb.kernel.step_run import PlannedSuspension, StepRun
from pauseflow_nb.protocol import ChildRequest, SuspensionRequest


def add_child(
    run: StepRun,
    notebook: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None,
    name: str | None,
    *,
    linked: bool,
    check: bool,
) -> tuple[str, PlannedSuspension]:
    """Add a notebook to those that the step starts.

    Returns:
        Its name among them, and the step's suspension with it.

    Raises:
        NotebookNotFound: If there is none at this path.
        InvalidValue: If another one has this name, or a text holds the value of a secret.
        NotJSON: If a parameter is not JSON.
    """
    path = os.fspath(notebook)
    if "://" not in path:
        # The worker that starts it has another working directory.
        path = str(Path(path).absolute())
        if not os.path.isfile(path):  # noqa: PTH113 - `Path.is_file` raises for what cannot be a path
            raise NotebookNotFound(os.fspath(notebook))
    planned = run.suspension
    before = planned.request if planned is not None and planned.request.kind == "notebook" else None
    children = [] if before is None else before.children
    used = {child.name for child in children}
    name = _choose_name(Path(path).stem, used) if name is None else name
    if name in used or not name or name.startswith("$"):
        raise InvalidValue("name", name, "must be a different text for each notebook, and must not begin with $")
    values = as_json("parameters", name_secrets(parameters or {}))
    assert isinstance(values, dict)
    child = ChildRequest(path, values, name, linked=linked, check=check)
    request = before or SuspensionRequest("notebook", on_timeout="resume")
    return name, PlannedSuspension("run_notebook", replace(request, children=[*children, child]))


def _choose_name(stem: str, used: set[str]) -> str:
    number, name = 1, stem
    while name in used:
        number += 1
        name = f"{stem}_{number}"
    return name
