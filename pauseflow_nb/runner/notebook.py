"""From the user's notebook to the document of an execution: read once, checked, and frozen.

Papermill reads from clouds and streams, and injects parameters; it is loaded only when that is
asked for, because it takes longer to import than a kernel takes to start.
"""

import json
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from pauseflow_nb.cells import steps_of
from pauseflow_nb.errors import InvalidNotebook, InvalidParameter, NotebookNotFound, NotJSON, StoreUnavailable
from pauseflow_nb.json_values import JSON, require_json
from pauseflow_nb.runner import cell_statuses, file_addresses
from pauseflow_nb.runner.document import ERROR_MARKER, Document
from pauseflow_nb.runner.kernels.spec import DEFAULT_KERNEL, Spec, find_spec
from pauseflow_nb.runner.parameters import read_defaults

__all__ = [
    "Frozen",
    "Inspected",
    "Prepared",
    "adopt",
    "freeze",
    "frozen_of",
    "inspect_notebook",
    "inspected",
    "kernel_of",
    "language_of",
    "parse_notebook",
    "prepare",
    "read_notebook",
    "write_text",
]

log = logging.getLogger(__name__)


#: What jupytext reads for us.
_SCRIPTS = {".py", ".md", ".Rmd", ".qmd", ".R", ".jl", ".sh"}

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Frozen:
    """A notebook as an execution starts with it; the source is never read again."""

    #: What `Document.from_bytes` reads.
    document: bytes
    #: Names of the steps, in order.
    steps: list[str]
    #: Number of cells of every type.
    cells: int
    #: Name of the kernelspec.
    kernel: str
    #: Absolute path of the kernel's interpreter; None for kernels of other languages.
    interpreter: str | None
    #: The parameters: those given, over the literal defaults of the cell tagged `parameters`.
    inputs: dict[str, JSON]


def read_notebook(path: str) -> NotebookNode:
    """Read a notebook of any version as a valid one of today's.

    Args:
        path: A file, `-` for standard input, or any URL that papermill reads.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: Saying what is wrong with it.
    """
    return parse_notebook(_text_of(path), path)


def parse_notebook(text: str, path: str) -> NotebookNode:
    """Parse a notebook's text; `path` is for errors.

    Raises:
        InvalidNotebook: Saying what is wrong with it.
    """
    try:
        data = json.loads(text)
    except ValueError as problem:
        raise InvalidNotebook(path, f"it is not JSON ({problem})") from None
    if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
        raise InvalidNotebook(path, "it is JSON, but not a notebook: it has no `nbformat`")
    if data["nbformat"] > 4:
        raise InvalidNotebook(path, f"it is of version {data['nbformat']}, and 4 is the newest that is known here")
    if data["nbformat"] == 4 and not isinstance(data.get("cells"), list):
        raise InvalidNotebook(path, "it has no list of `cells`")
    try:
        notebook = nbformat.reader.reads(text) if data["nbformat"] < 4 else nbformat.v4.reads(text)
        if data["nbformat"] == 4 and data.get("nbformat_minor", 0) >= 5:
            # Before nbformat does the same with a warning.
            _give_ids(notebook)
        notebook = _repaired(nbformat.v4.upgrade(nbformat.convert(notebook, 4)))
        nbformat.validate(notebook)
    except nbformat.ValidationError as problem:
        raise InvalidNotebook(path, str(problem).splitlines()[0]) from None
    except Exception as problem:  # noqa: BLE001
        # nbformat meets a damaged structure with whatever its code happens to raise.
        raise InvalidNotebook(path, f"its structure is damaged ({type(problem).__name__}: {problem})") from None
    return NotebookNode(nbformat.from_dict(notebook))


@dataclass(frozen=True)
class Prepared:
    """A notebook with its parameters injected, otherwise as it was: outputs too."""

    notebook: NotebookNode
    #: Its kernel.
    spec: Spec
    #: The parameters: those given, over the literal defaults of the cell tagged `parameters`.
    inputs: dict[str, JSON]


def prepare(
    path: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    kernel: str | None = None,
    language: str | None = None,
    report_mode: bool = False,
) -> Prepared:
    """Read a notebook and inject its parameters: what papermill's `--prepare-only` writes.

    Args:
        path: As for `read_notebook`.
        parameters: Injected as papermill does, after the cell tagged `parameters`.
        output: Noted in the metadata.
        kernel: Name of a kernelspec, instead of the notebook's own.
        language: Language for writing the parameters, instead of the notebook's own.
        report_mode: Hide the code of every cell.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read.
        InvalidParameter: If a parameter cannot be written in the notebook's language.
        KernelUnavailable: If the kernel is not installed.
    """
    notebook = read_notebook(path)
    spec = find_spec(kernel or kernel_of(notebook))
    given = {name: _plain(value) for name, value in (parameters or {}).items()}
    inputs = {**(read_defaults(notebook) if spec.is_python else {}), **given}
    notebook = _with_papermill_metadata(notebook, path, output)
    if parameters:
        language = language or notebook.metadata.get("kernelspec", {}).get("language") or spec.language
        notebook = _injected(notebook, dict(parameters), spec.name, language)
    if report_mode:
        _hide_code(notebook)
    return Prepared(notebook, spec, inputs)


def freeze(
    path: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    output: str | None = None,
    kernel: str | None = None,
    language: str | None = None,
    report_mode: bool = False,
) -> Frozen:
    """Read a notebook and make of it the document that an execution will fill.

    Arguments and errors are those of `prepare`, and besides:

    Raises:
        InvalidNotebook: If it cannot run, for instance because it has steps and its kernel is not Python's.
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    prepared = prepare(path, parameters, output=output, kernel=kernel, language=language, report_mode=report_mode)
    return frozen_of(prepared, path)


def adopt(notebook: NotebookNode, path: str, *, kernel: str) -> Frozen:
    """Freeze a notebook that another program has read and given its parameters, as papermill does for its engines.

    Raises:
        InvalidNotebook: If it cannot run.
        InvalidStep: For a step line that cannot be read, or a name used twice.
        KernelUnavailable: If the kernel is not installed.
    """
    spec = find_spec(kernel)
    noted = notebook.metadata.get("papermill", {})
    given = {name: _plain(value) for name, value in noted.get("parameters", {}).items()}
    copy = _repaired(NotebookNode(nbformat.v4.upgrade(nbformat.from_dict(deepcopy(notebook)))))
    copy.metadata.pop("pauseflow", None)
    return frozen_of(Prepared(copy, spec, {**(read_defaults(copy) if spec.is_python else {}), **given}), path)


def frozen_of(prepared: Prepared, path: str) -> Frozen:
    """Make the document of a notebook that has its parameters; see `freeze`."""
    notebook, spec = prepared.notebook, prepared.spec
    notebook.metadata.pop("widgets", None)
    steps = _steps_of(notebook, path, spec)
    document = Document(notebook)
    cell_statuses.reset(document, 0)
    return Frozen(
        document=document.to_bytes(),
        steps=steps,
        cells=len(notebook.cells),
        kernel=spec.name,
        interpreter=spec.interpreter if spec.is_python and spec.is_local else None,
        inputs=prepared.inputs,
    )


@dataclass(frozen=True)
class Inspected:
    """What can be seen of a notebook without running it."""

    #: Whether a cell is tagged `parameters`.
    has_cell: bool
    #: One mapping for each: name, inferred_type_name, default, help.
    parameters: list[dict[str, JSON]]
    steps: list[str]


def inspected(path: str, *, kernel: str | None = None, language: str | None = None) -> Inspected:
    """Read a notebook, and look at its parameters and steps.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read.
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    return inspect_notebook(read_notebook(path), kernel=kernel, language=language)


def inspect_notebook(notebook: NotebookNode, *, kernel: str | None = None, language: str | None = None) -> Inspected:
    """Look at a notebook's parameters and steps.

    Raises:
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    from papermill.inspection import _infer_parameters

    name = kernel or kernel_of(notebook)
    found = _infer_parameters(notebook, name=name, language=language or language_of(notebook))
    headers = steps_of((index, cell.source) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    return Inspected(
        has_cell=any("parameters" in cell.metadata["tags"] for cell in notebook.cells),
        parameters=[parameter._asdict() for parameter in found],
        steps=[header.name for header in headers.values() if header.kind == "step"],
    )


def write_text(path: str, text: str) -> None:
    """Write a notebook's text to any path that papermill writes to, `-` for standard output.

    Raises:
        StoreUnavailable: If it cannot be written.
    """
    if path == "-":
        sys.stdout.write(text)
        return
    if "://" not in path:
        Path(path).expanduser().write_text(text, encoding="utf-8")
        return
    try:
        file_addresses.write(text, path)
    except Exception as problem:
        # Each of its handlers raises what its own client does.
        raise StoreUnavailable(path, f"{problem}: check the address and your credentials") from problem


def language_of(notebook: NotebookNode) -> str:
    """Name the language that a notebook is in."""
    metadata = notebook.metadata
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(named or "python")


def kernel_of(notebook: NotebookNode) -> str:
    """Name the kernelspec that a notebook asks for."""
    return str(notebook.metadata.get("kernelspec", {}).get("name") or DEFAULT_KERNEL)


def _text_of(path: str) -> str:
    if "://" in path or path == "-":
        try:
            return file_addresses.read(path)
        except Exception as problem:  # noqa: BLE001 - each kind of address has errors of its own
            raise InvalidNotebook(path, f"it cannot be read ({problem})") from None
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotebookNotFound(path) from None
    except UnicodeDecodeError:
        raise InvalidNotebook(path, "it is not text in UTF-8") from None
    except OSError as problem:
        raise InvalidNotebook(path, f"it cannot be read ({problem.strerror})") from None
    return _from_script(path, text) if file.suffix in _SCRIPTS else text


def _from_script(path: str, text: str) -> str:
    """Make a notebook of a script with cells, such as `# %%`, or of a Markdown file."""
    try:
        import jupytext
    except ImportError:
        raise InvalidNotebook(path, "to run a script, `pip install jupytext`") from None
    try:
        notebook = jupytext.reads(text, fmt=Path(path).suffix)
    except Exception as problem:  # noqa: BLE001 - it raises what its many formats happen to raise
        raise InvalidNotebook(path, f"jupytext cannot read it ({problem})") from None
    return str(nbformat.writes(notebook))


def _repaired(notebook: NotebookNode) -> NotebookNode:
    # What programs that write notebooks forget most, and what has one right answer.
    kernelspec = notebook.metadata.get("kernelspec")
    if kernelspec is not None:
        kernelspec.setdefault("display_name", kernelspec.setdefault("name", DEFAULT_KERNEL))
    for cell in notebook.cells:
        cell.setdefault("metadata", NotebookNode())
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    _give_ids(notebook)
    return notebook


def _give_ids(notebook: NotebookNode) -> None:
    seen: set[str] = set()
    for cell in notebook.cells:
        if not _ID.fullmatch(str(cell.get("id", ""))) or cell.id in seen:
            cell["id"] = secrets.token_hex(4)
        seen.add(cell.id)


def _steps_of(notebook: NotebookNode, path: str, spec: Spec) -> list[str]:
    headers = steps_of((index, cell.source) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    if headers and not spec.is_python:
        first = next(iter(headers))
        problem = (
            f"cell {first + 1} is a `%%{headers[first].kind}`, and steps need a Python kernel; {spec.name!r} speaks "
        )
        raise InvalidNotebook(path, problem + spec.language)
    return [header.name for header in headers.values() if header.kind == "step"]


def _with_papermill_metadata(notebook: NotebookNode, path: str, output: str | None) -> NotebookNode:
    if not isinstance(notebook.metadata.get("papermill"), dict):
        from importlib.metadata import version

        noted: dict[str, Any] = {"default_parameters": {}, "environment_variables": {}, "parameters": {}}
        notebook.metadata["papermill"] = NotebookNode(noted | {"version": version("papermill")})
    # As papermill has it: what an earlier run noted beside these stays.
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


def _injected(notebook: NotebookNode, parameters: dict[str, Any], kernel: str, language: str) -> NotebookNode:
    from papermill.exceptions import PapermillException
    from papermill.parameterize import parameterize_notebook

    try:
        notebook = parameterize_notebook(notebook, parameters, kernel_name=kernel, language=language)
    except (PapermillException, NotImplementedError) as problem:
        raise InvalidParameter(", ".join(parameters), f"cannot be written in {language}: {problem}") from None
    notebook.metadata.papermill["parameters"] = {name: _plain(value) for name, value in parameters.items()}
    _warn_of_unknown(notebook, parameters, kernel, language)
    for cell in notebook.cells:
        cell.metadata.setdefault("papermill", NotebookNode())
    return notebook


def _warn_of_unknown(notebook: NotebookNode, parameters: dict[str, Any], kernel: str, language: str) -> None:
    from papermill.inspection import _infer_parameters

    known = {parameter.name for parameter in _infer_parameters(notebook, name=kernel, language=language)}
    for name in parameters:
        if name not in known:
            log.warning("Passed unknown parameter: %s", name)


def _plain(value: Any) -> JSON:
    """Papermill writes a value that it does not know as its text, and so it arrives in the notebook."""
    try:
        require_json("parameter", value)
    except NotJSON:
        return str(value)
    return json.loads(json.dumps(value))
