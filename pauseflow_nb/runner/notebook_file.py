"""Read the file of a notebook, in any version, as a script or at a URL.

Papermill reads from object stores and streams. Its import takes long, so it is done when needed.
"""

import json
import re
import secrets
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from pauseflow_nb.errors import InvalidNotebook, NotebookNotFound, StoreUnavailable
from pauseflow_nb.json_values import is_deeper
from pauseflow_nb.runner import file_addresses
from pauseflow_nb.runner.damaged_notebooks import describe_invalid, find_damage
from pauseflow_nb.runner.kernels.spec import DEFAULT_KERNEL
from pauseflow_nb.suggestions import find_similar

#: Suffixes of files that jupytext converts to notebooks.
_SCRIPTS = {".py", ".md", ".Rmd", ".qmd", ".R", ".jl", ".sh"}

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: Deepest nesting of a notebook's JSON: copying about 500 levels ends in a RecursionError.
_DEEPEST = 200
_TOO_DEEP = f"it is nested too deeply: at most {_DEEPEST} levels"


def read_notebook(path: str) -> NotebookNode:
    """Read a notebook of any version, and convert it to a valid one of the newest version.

    Args:
        path: A file, `-` for standard input, or any URL that papermill reads.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read or converted.
    """
    text = read_text(path)
    return parse_notebook(_from_script(path, text) if _is_script(path) else text, path)


def parse_notebook(text: str, path: str) -> NotebookNode:
    """Parse a notebook's text; `path` is for errors.

    Raises:
        InvalidNotebook: If it is not a notebook; says why.
    """
    if text.startswith("\ufeff"):
        # Neither nbformat nor papermill reads it.
        raise InvalidNotebook(path, "it begins with a byte order mark: save it as UTF-8 without one")
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
    if data["nbformat"] == 4 and (damage := find_damage(data)):
        raise InvalidNotebook(path, damage)
    try:
        notebook = nbformat.reader.reads(text) if data["nbformat"] < 4 else nbformat.v4.reads(text)
        if data["nbformat"] == 4 and data.get("nbformat_minor", 0) >= 5:
            # Otherwise nbformat does the same, with a warning.
            _add_missing_ids(notebook)
        notebook = repair(nbformat.v4.upgrade(nbformat.convert(notebook, 4)))
        nbformat.validate(notebook)
    except nbformat.ValidationError as problem:
        raise InvalidNotebook(path, describe_invalid(problem)) from None
    except Exception as problem:  # noqa: BLE001
        # nbformat raises any error at all for a damaged structure.
        raise InvalidNotebook(path, f"its structure is damaged ({problem})") from None
    return NotebookNode(nbformat.from_dict(notebook))


def find_language(notebook: NotebookNode) -> str:
    """Find the language of a notebook; Python if it names none."""
    metadata = notebook.metadata
    named = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name")
    return str(named or "python")


def find_kernel_name(notebook: NotebookNode) -> str:
    """Find the name of the kernelspec in a notebook; the default if it has none."""
    return str(notebook.metadata.get("kernelspec", {}).get("name") or DEFAULT_KERNEL)


def read_text(path: str) -> str:
    """Read the text of a notebook, which is not empty.

    Args:
        path: As of `read_notebook`.

    Raises:
        NotebookNotFound: If there is no such file.
        InvalidNotebook: If it cannot be read; says why.
    """
    text = _read_address(path) if "://" in path or path == "-" else _read_file(path)
    if not text.strip():
        raise InvalidNotebook(path, "the file is empty: save the notebook again, or create a new one in JupyterLab")
    return text


def _read_address(path: str) -> str:
    try:
        return file_addresses.read(path)
    except StoreUnavailable as problem:
        raise InvalidNotebook(path, f"it cannot be read ({problem.problem})") from None
    except Exception as problem:  # noqa: BLE001 - each kind of address has its own errors
        raise InvalidNotebook(path, f"it cannot be read ({problem})") from None


def _read_file(path: str) -> str:
    try:
        return file_addresses.read_local(Path(path).expanduser())
    except FileNotFoundError:
        raise NotebookNotFound(path, *_find_near(path)) from None
    except IsADirectoryError:
        raise InvalidNotebook(path, "it is a folder: name a notebook in it") from None
    except UnicodeDecodeError:
        raise InvalidNotebook(path, "it is not text in UTF-8") from None
    except OSError as problem:
        raise InvalidNotebook(path, f"it cannot be read ({problem.strerror})") from None
    except (ValueError, RuntimeError) as problem:
        # A character that is not allowed in names, or the home of an unknown user.
        raise InvalidNotebook(path, f"it cannot be the path of a file ({problem})") from None


def _is_script(path: str) -> bool:
    return "://" not in path and path != "-" and Path(path).suffix in _SCRIPTS


def _find_near(path: str) -> list[str]:
    """Suggest a notebook with a similar name in the folder of the missing one, as the hint of the error."""
    file = Path(path).expanduser()
    names = sorted(each.name for each in file.parent.glob("*.ipynb"))
    similar = find_similar(file.with_suffix(".ipynb").name, names)
    return [] if similar is None else [f"did you mean {file.with_name(similar)}?"]


def _from_script(path: str, text: str) -> str:
    """Convert a script with cells, such as `# %%`, or a Markdown file, to a notebook."""
    try:
        import jupytext
    except ImportError:
        raise InvalidNotebook(path, "scripts are read with jupytext: `pip install jupytext`") from None
    try:
        notebook = jupytext.reads(text, fmt=Path(path).suffix)
    except Exception as problem:  # noqa: BLE001 - each of its formats has its own errors
        raise InvalidNotebook(path, f"jupytext cannot read it ({problem})") from None
    return str(nbformat.writes(notebook))


def repair(notebook: NotebookNode) -> NotebookNode:
    """Add required fields that programs which write notebooks often omit."""
    # Only one value is right for each of these.
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
