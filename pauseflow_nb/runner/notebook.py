"""Read a notebook, check it, inject its parameters, and make the document of an execution from it.

Papermill reads from object stores and streams, and injects parameters. Its import takes long, so it is done when needed.
"""

import json
import keyword
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

from pauseflow_nb.cells import refuse_mistakes, steps_of
from pauseflow_nb.errors import InvalidNotebook, InvalidParameter, NotebookNotFound, NotJSON, StoreUnavailable
from pauseflow_nb.json_values import JSON, is_deeper, require_json
from pauseflow_nb.runner import cell_statuses, file_addresses
from pauseflow_nb.runner.document import ERROR_MARKER, Document
from pauseflow_nb.runner.kernels.spec import DEFAULT_KERNEL, Spec, find_spec
from pauseflow_nb.runner.parameters import check_parameters, read_defaults
from pauseflow_nb.user_secrets.references import list_references

__all__ = [
    "Frozen",
    "Inspection",
    "Prepared",
    "adopt",
    "find_kernel_name",
    "find_language",
    "freeze",
    "freeze_prepared",
    "inspect_file",
    "inspect_notebook",
    "parse_notebook",
    "prepare",
    "read_notebook",
    "write_text",
]

log = logging.getLogger(__name__)


#: Suffixes of files that jupytext converts to notebooks.
_SCRIPTS = {".py", ".md", ".Rmd", ".qmd", ".R", ".jl", ".sh"}

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: A parameter that refers to a secret, as papermill writes it; within another text the quotes are escaped.
_REFERENCE = re.compile(r'(?<!\\)"secret:([A-Za-z_][A-Za-z0-9_.-]*)"')

#: Levels that a notebook's JSON may have: with some 500, copying it ends in a RecursionError.
_DEEPEST = 200
_TOO_DEEP = f"it is nested too deeply: at most {_DEEPEST} levels"


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


def read_notebook(path: str) -> NotebookNode:
    """Read a notebook of any version, and convert it to a valid one of the newest version.

    Args:
        path: A file, `-` for standard input, or any URL that papermill reads.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read or converted.
    """
    return parse_notebook(_read_text(path), path)


def parse_notebook(text: str, path: str) -> NotebookNode:
    """Parse a notebook's text; `path` is for errors.

    Raises:
        InvalidNotebook: Saying what is wrong with it.
    """
    try:
        data = json.loads(text)
    except RecursionError:
        raise InvalidNotebook(path, _TOO_DEEP) from None
    except ValueError as problem:
        raise InvalidNotebook(path, f"it is not JSON ({problem})") from None
    if is_deeper(data, _DEEPEST):
        raise InvalidNotebook(path, _TOO_DEEP)
    if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
        raise InvalidNotebook(path, "it is JSON, but not a notebook: it has no `nbformat`")
    if data["nbformat"] > 4:
        raise InvalidNotebook(
            path, f"it is of version {data['nbformat']}, and 4 is the newest version that is supported"
        )
    if data["nbformat"] == 4 and not isinstance(data.get("cells"), list):
        raise InvalidNotebook(path, "it has no list of `cells`")
    try:
        notebook = nbformat.reader.reads(text) if data["nbformat"] < 4 else nbformat.v4.reads(text)
        if data["nbformat"] == 4 and data.get("nbformat_minor", 0) >= 5:
            # Otherwise nbformat does the same, with a warning.
            _add_missing_ids(notebook)
        notebook = _repair(nbformat.v4.upgrade(nbformat.convert(notebook, 4)))
        nbformat.validate(notebook)
    except nbformat.ValidationError as problem:
        raise InvalidNotebook(path, str(problem).splitlines()[0]) from None
    except Exception as problem:  # noqa: BLE001
        # nbformat raises any error at all for a damaged structure.
        raise InvalidNotebook(path, f"its structure is damaged ({type(problem).__name__}: {problem})") from None
    return NotebookNode(nbformat.from_dict(notebook))


@dataclass(frozen=True)
class Prepared:
    """A notebook with its parameters injected; all else is unchanged, outputs too."""

    notebook: NotebookNode
    #: The kernelspec of its kernel.
    spec: Spec
    #: The parameters: those of the caller, over the literal defaults in the cell tagged `parameters`.
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
        InvalidParameter: If a parameter cannot be written in the notebook's language, or its name is none.
        KernelUnavailable: If the kernel is not installed.
    """
    check_parameters(parameters or {})
    notebook = read_notebook(path)
    spec = find_spec(kernel or find_kernel_name(notebook))
    injected = {name: _make_json(value) for name, value in (parameters or {}).items()}
    inputs = {**(read_defaults(notebook) if spec.is_python else {}), **injected}
    notebook = _add_papermill_metadata(notebook, path, output)
    if parameters:
        language = language or notebook.metadata.get("kernelspec", {}).get("language") or spec.language
        notebook = _inject(notebook, dict(parameters), spec.name, language)
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
    """Read a notebook, and make the document that an execution fills.

    Arguments and errors are those of `prepare`; in addition:

    Raises:
        InvalidNotebook: If it cannot run, for example because it has steps and its kernel is no Python kernel.
        InvalidStep: For a step line that cannot be read, or a name used twice.
    """
    prepared = prepare(path, parameters, output=output, kernel=kernel, language=language, report_mode=report_mode)
    return freeze_prepared(prepared, path)


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
    copy = _repair(NotebookNode(nbformat.v4.upgrade(nbformat.from_dict(deepcopy(notebook)))))
    copy.metadata.pop("pauseflow", None)
    _inject_secrets(copy, spec.language)
    return freeze_prepared(Prepared(copy, spec, {**(read_defaults(copy) if spec.is_python else {}), **injected}), path)


def freeze_prepared(prepared: Prepared, path: str) -> Frozen:
    """Make the document from a prepared notebook; see `freeze`."""
    notebook, spec = prepared.notebook, prepared.spec
    notebook.metadata.pop("widgets", None)
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
    headers = steps_of((index, cell.source) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    return Inspection(
        has_cell=any("parameters" in cell.metadata["tags"] for cell in notebook.cells),
        parameters=[parameter._asdict() for parameter in found],
        steps=[header.name for header in headers.values() if header.kind == "step"],
    )


def write_text(path: str, text: str) -> None:
    """Write the text of a notebook to any path that papermill writes to; `-` is standard output.

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
        # Each handler raises the errors of its own client.
        raise StoreUnavailable(path, f"{problem}: check the address and your credentials") from problem


def find_language(notebook: NotebookNode) -> str:
    """Find the language of a notebook; Python if it names none."""
    metadata = notebook.metadata
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(named or "python")


def find_kernel_name(notebook: NotebookNode) -> str:
    """Find the name of the kernelspec in a notebook; the default if it has none."""
    return str(notebook.metadata.get("kernelspec", {}).get("name") or DEFAULT_KERNEL)


def _read_text(path: str) -> str:
    if "://" in path or path == "-":
        try:
            return file_addresses.read(path)
        except StoreUnavailable as problem:
            raise InvalidNotebook(path, f"it cannot be read ({problem.problem})") from None
        except Exception as problem:  # noqa: BLE001 - each kind of address has its own errors
            raise InvalidNotebook(path, f"it cannot be read ({problem})") from None
    try:
        file = Path(path).expanduser()
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotebookNotFound(path) from None
    except UnicodeDecodeError:
        raise InvalidNotebook(path, "it is not text in UTF-8") from None
    except OSError as problem:
        raise InvalidNotebook(path, f"it cannot be read ({problem.strerror})") from None
    except (ValueError, RuntimeError) as problem:
        # A character that no name may have, or the home of nobody.
        raise InvalidNotebook(path, f"it cannot be the path of a file ({problem})") from None
    return _from_script(path, text) if file.suffix in _SCRIPTS else text


def _from_script(path: str, text: str) -> str:
    """Convert a script with cells, such as `# %%`, or a Markdown file, to a notebook."""
    try:
        import jupytext
    except ImportError:
        raise InvalidNotebook(path, "to run a script, `pip install jupytext`") from None
    try:
        notebook = jupytext.reads(text, fmt=Path(path).suffix)
    except Exception as problem:  # noqa: BLE001 - each of its formats has its own errors
        raise InvalidNotebook(path, f"jupytext cannot read it ({problem})") from None
    return str(nbformat.writes(notebook))


def _repair(notebook: NotebookNode) -> NotebookNode:
    # Programs that write notebooks often omit these, and each has one right value.
    kernelspec = notebook.metadata.get("kernelspec")
    if kernelspec is not None:
        kernelspec.setdefault("display_name", kernelspec.setdefault("name", DEFAULT_KERNEL))
    for cell in notebook.cells:
        cell.setdefault("metadata", NotebookNode())
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    _add_missing_ids(notebook)
    return notebook


def _add_missing_ids(notebook: NotebookNode) -> None:
    seen: set[str] = set()
    for cell in notebook.cells:
        if not _ID.fullmatch(str(cell.get("id", ""))) or cell.id in seen:
            cell["id"] = secrets.token_hex(4)
        seen.add(cell.id)


def _list_steps(notebook: NotebookNode, path: str, spec: Spec) -> list[str]:
    sources = {index: cell.source for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
    headers = steps_of(sources.items())
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
    """Write a call in the place of each `secret:NAME` among the injected parameters."""
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    named = [name for name, value in parameters.items() if any(list_references(value))]
    if named and language != "python":
        raise InvalidParameter(named[0], f"only a notebook in Python can take a secret, and this one is in {language}")
    if named:
        for cell in notebook.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell["source"] = _REFERENCE.sub(r'__import__("pauseflow_nb").flow.secret("\1")', cell.source)


def _warn_of_unknown_parameters(notebook: NotebookNode, parameters: dict[str, Any], kernel: str, language: str) -> None:
    from papermill.inspection import _infer_parameters

    known = {parameter.name for parameter in _infer_parameters(notebook, name=kernel, language=language)}
    for name in parameters:
        if name not in known:
            log.warning("Passed unknown parameter: %s", name)


def _make_json(value: Any) -> JSON:
    """Return the JSON value of a parameter; papermill injects a value that is no JSON as its text."""
    try:
        require_json("parameter", value)
    except NotJSON:
        try:
            return str(value)
        except ValueError as problem:
            raise InvalidParameter("value", f"cannot be written: {problem}") from None
    return json.loads(json.dumps(value))
