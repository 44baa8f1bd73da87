"""Check a notebook, find its queues, inject its parameters, and make the document of an execution from it.

Papermill injects parameters. Its import takes long, so it is done when needed.
"""

import json
import keyword
import logging
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import nbformat
from nbformat import NotebookNode

from pauseflow_nb.cells import find_steps, refuse_mistakes
from pauseflow_nb.decisions.digests import ERROR_MARKER
from pauseflow_nb.errors import InvalidNotebook, InvalidParameter, InvalidValue, NotJSON
from pauseflow_nb.json_values import JSON, require_json
from pauseflow_nb.queues import DEFAULT_QUEUE, QueuePlan, check_queue
from pauseflow_nb.runner import cell_statuses
from pauseflow_nb.runner.cell_statuses import NOT_RUN
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernels.spec import Spec, find_spec
from pauseflow_nb.runner.notebook_file import find_kernel_name, find_language, read_notebook, repair
from pauseflow_nb.runner.parameters import check_parameters, read_defaults
from pauseflow_nb.user_secrets.references import list_references

log = logging.getLogger(__name__)


#: A parameter that refers to a secret, as papermill writes it; within another text the quotes are escaped.
_REFERENCE = re.compile(r'(?<!\\)"secret:([A-Za-z_][A-Za-z0-9_.-]*)"')


@dataclass(frozen=True)
class Frozen:
    """A notebook at the start of an execution; its source is never read again."""

    #: The document, for `Document.from_bytes`.
    document: bytes
    #: Names of the steps, in order.
    steps: list[str]
    #: Number of cells of every type.
    cells: int
    #: Name of the kernelspec.
    kernel: str
    #: Absolute path of the kernel's interpreter; None for kernels of other languages.
    interpreter: str | None
    #: The parameters: those of the caller, over the literal defaults in the cell tagged `parameters`.
    inputs: dict[str, JSON]
    #: Which queue each cell runs in.
    queues: QueuePlan = field(default_factory=QueuePlan)


@dataclass(frozen=True)
class Prepared:
    """A notebook with its parameters injected; all else is unchanged, outputs too."""

    notebook: NotebookNode
    #: The kernelspec of its kernel.
    spec: Spec
    #: The parameters: those of the caller, over the literal defaults in the cell tagged `parameters`.
    inputs: dict[str, JSON]
    #: The queue that its metadata names, if any.
    queue: str | None = None


def prepare(
    path: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    kernel: str | None = None,
    language: str | None = None,
    report_mode: bool = False,
) -> Prepared:
    """Read a notebook and inject its parameters, as papermill does with `--prepare-only`.

    Args:
        path: As for `read_notebook`.
        parameters: Injected after the cell tagged `parameters`, as papermill does.
        output: Path of the output, for the metadata.
        kernel: Name of a kernelspec to use instead of the one in the notebook.
        language: Language in which the parameters are written, instead of the one in the notebook.
        report_mode: Hide the code of every cell.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read.
        InvalidParameter: If a parameter cannot be written in the notebook's language, or its name is not a valid name.
        KernelUnavailable: If the kernel is not installed.
    """
    check_parameters(parameters or {})
    notebook = read_notebook(path)
    queue = read_queue(notebook, path)
    spec = find_spec(kernel or find_kernel_name(notebook))
    injected = {name: _make_json(value) for name, value in (parameters or {}).items()}
    inputs = {**(read_defaults(notebook) if spec.is_python else {}), **injected}
    notebook = _add_papermill_metadata(notebook, path, output)
    if parameters:
        language = language or notebook.metadata.get("kernelspec", {}).get("language") or spec.language
        notebook = _inject(notebook, dict(parameters), spec.name, language)
    if report_mode:
        _hide_code(notebook)
    return Prepared(notebook, spec, inputs, queue)


def freeze(
    path: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    kernel: str | None = None,
    language: str | None = None,
    report_mode: bool = False,
    queue: str | None = None,
) -> Frozen:
    """Read a notebook, and make the document that an execution fills.

    Arguments and errors are those of `prepare`; `queue` is for a notebook whose metadata name none. In addition:

    Raises:
        InvalidNotebook: If it cannot run, for example because it has steps and its kernel is not a Python kernel.
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    prepared = prepare(path, parameters, output=output, kernel=kernel, language=language, report_mode=report_mode)
    return freeze_prepared(replace(prepared, queue=prepared.queue or queue), path)


def adopt(notebook: NotebookNode, path: str, *, kernel: str) -> Frozen:
    """Freeze a notebook that another program has read and injected parameters into, as papermill does for its engines.

    Raises:
        InvalidNotebook: If it cannot run.
        InvalidStep: For a step line that cannot be read, or a name used twice.
        KernelUnavailable: If the kernel is not installed.
    """
    spec = find_spec(kernel)
    metadata = notebook.metadata.get("papermill", {})
    injected = {name: _make_json(value) for name, value in metadata.get("parameters", {}).items()}
    copy = repair(NotebookNode(nbformat.v4.upgrade(nbformat.from_dict(deepcopy(notebook)))))
    queue = read_queue(copy, path)
    copy.metadata.pop("pauseflow", None)
    _inject_secrets(copy, spec.language)
    inputs = {**(read_defaults(copy) if spec.is_python else {}), **injected}
    return freeze_prepared(Prepared(copy, spec, inputs, queue), path)


def freeze_prepared(prepared: Prepared, path: str) -> Frozen:
    """Make the document from a prepared notebook; see `freeze`."""
    notebook, spec = prepared.notebook, prepared.spec
    notebook.metadata.pop("widgets", None)
    if prepared.queue is not None:
        # The executed notebook may be run again.
        notebook.metadata["pauseflow"] = NotebookNode({"queue": prepared.queue})
    steps = _list_steps(notebook, path, spec)
    document = Document(notebook)
    cell_statuses.reset(document, 0)
    return Frozen(
        document=document.to_bytes(),
        steps=steps,
        cells=len(notebook.cells),
        kernel=spec.name,
        interpreter=spec.interpreter if spec.is_python and spec.is_local else None,
        inputs=prepared.inputs,
        queues=plan_queues(notebook, prepared.queue, is_python=spec.is_python),
    )


@dataclass(frozen=True)
class Inspection:
    """The parameters and steps of a notebook."""

    #: Whether a cell is tagged `parameters`.
    has_cell: bool
    #: For each parameter: `name`, `inferred_type_name`, `default` and `help`.
    parameters: list[dict[str, JSON]]
    steps: list[str]


def inspect_file(path: str, *, kernel: str | None = None, language: str | None = None) -> Inspection:
    """Find the parameters and steps of a notebook in a file, without running it.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read.
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    return inspect_notebook(read_notebook(path), kernel=kernel, language=language)


def inspect_notebook(notebook: NotebookNode, *, kernel: str | None = None, language: str | None = None) -> Inspection:
    """Find the parameters and steps of a notebook, without running it.

    Raises:
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    from papermill.inspection import _infer_parameters

    name = kernel or find_kernel_name(notebook)
    found = _infer_parameters(notebook, name=name, language=language or find_language(notebook))
    headers = find_steps((index, cell.source) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    return Inspection(
        has_cell=any("parameters" in cell.metadata["tags"] for cell in notebook.cells),
        parameters=[parameter._asdict() for parameter in found],
        steps=[header.name for header in headers.values() if header.kind == "step"],
    )


def _list_steps(notebook: NotebookNode, path: str, spec: Spec) -> list[str]:
    sources = {index: cell.source for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
    headers = find_steps(sources.items())
    if spec.is_python:
        refuse_mistakes(sources.items())
    if headers and not spec.is_python:
        first = next(iter(headers))
        problem = (
            f"cell {first + 1} is a `%%{headers[first].kind}`, and steps need a Python kernel; {spec.name!r} speaks "
        )
        raise InvalidNotebook(path, problem + spec.language)
    return [header.name for header in headers.values() if header.kind == "step"]


def _add_papermill_metadata(notebook: NotebookNode, path: str, output: str | None) -> NotebookNode:
    if not isinstance(notebook.metadata.get("papermill"), dict):
        from importlib.metadata import version

        initial: dict[str, Any] = {"default_parameters": {}, "environment_variables": {}, "parameters": {}}
        notebook.metadata["papermill"] = NotebookNode(initial | {"version": version("papermill")})
    # As in papermill: other metadata of an earlier run stays.
    beginning = dict.fromkeys(("start_time", "end_time", "duration", "exception"))
    notebook.metadata["papermill"].update(beginning, input_path=path, output_path=output)
    notebook.metadata.pop("pauseflow", None)
    notebook.cells = [cell for cell in notebook.cells if ERROR_MARKER not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
        cell.metadata["papermill"] = NotebookNode()
    return notebook


def _hide_code(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["jupyter"] = NotebookNode({**cell.metadata.get("jupyter", {}), "source_hidden": True})


def _inject(notebook: NotebookNode, parameters: dict[str, Any], kernel: str, language: str) -> NotebookNode:
    from papermill.exceptions import PapermillException
    from papermill.parameterize import parameterize_notebook

    for name in filter(keyword.iskeyword, parameters if language == "python" else ()):
        raise InvalidParameter(name, "is a word of Python itself: give it another name")
    try:
        notebook = parameterize_notebook(notebook, parameters, kernel_name=kernel, language=language)
    except (PapermillException, NotImplementedError, ValueError, RecursionError) as problem:
        raise InvalidParameter(", ".join(parameters), f"cannot be written in {language}: {problem}") from None
    notebook.metadata.papermill["parameters"] = {name: _make_json(value) for name, value in parameters.items()}
    _inject_secrets(notebook, language)
    _warn_of_unknown_parameters(notebook, parameters, kernel, language)
    for cell in notebook.cells:
        cell.metadata.setdefault("papermill", NotebookNode())
    return notebook


def _inject_secrets(notebook: NotebookNode, language: str) -> None:
    """Replace each `secret:NAME` in the injected parameters by a call of `flow.secret`."""
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    named = [name for name, value in parameters.items() if any(list_references(value))]
    if named and language != "python":
        raise InvalidParameter(named[0], f"only a notebook in Python can take a secret, and this one is in {language}")
    if named:
        for cell in notebook.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell["source"] = _REFERENCE.sub(r'__import__("pauseflow_nb").flow.secret("\1")', cell.source)


def _warn_of_unknown_parameters(notebook: NotebookNode, parameters: dict[str, Any], kernel: str, language: str) -> None:
    import difflib  # lazily: few parameters are unknown

    from papermill.inspection import _infer_parameters

    known = {parameter.name for parameter in _infer_parameters(notebook, name=kernel, language=language)}
    for name in parameters:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            log.warning("Passed unknown parameter: %s%s", name, f" (did you mean {close[0]}?)" if close else "")


def _make_json(value: Any) -> JSON:
    """Return the JSON value of a parameter; papermill injects a value that is not JSON as its text."""
    try:
        require_json("parameter", value)
    except NotJSON:
        try:
            return str(value)
        except ValueError as problem:
            raise InvalidParameter("value", f"cannot be written: {problem}") from None
    return json.loads(json.dumps(value))


def read_queue(notebook: NotebookNode, path: str) -> str | None:
    """Read the queue in a notebook's metadata, `{"pauseflow": {"queue": "gpu"}}`; None if they name none.

    Raises:
        InvalidNotebook: If it is not a valid name.
    """
    ours = notebook.metadata.get("pauseflow")
    name = ours.get("queue") if isinstance(ours, dict) else None
    try:
        return None if name is None else check_queue(name)
    except InvalidValue as problem:
        raise InvalidNotebook(path, f"the queue {name!r} in its metadata {problem.problem}") from None


def plan_queues(notebook: NotebookNode, queue: str | None, *, is_python: bool) -> QueuePlan:
    """Plan which queue each cell runs in.

    Args:
        notebook: The notebook.
        queue: Its own queue; None: the default one.
        is_python: Whether its kernel is a Python kernel; others have no steps.
    """
    runs = [
        (at, cell.source)
        for at, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip() and not NOT_RUN & set(cell.metadata.get("tags", []))
    ]
    headers = find_steps(runs) if is_python else {}
    named = {at: header.options.queue for at, header in headers.items() if header.kind == "step"}
    return QueuePlan.make(queue or DEFAULT_QUEUE, ((at, at in named, named.get(at)) for at, _ in runs))
