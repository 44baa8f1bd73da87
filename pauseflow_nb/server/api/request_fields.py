"""Read the fields of a request to the REST API, its texts, and paths below the server's root directory."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pauseflow_nb.errors import InvalidParameter
from pauseflow_nb.json_values import JSON
from pauseflow_nb.suggestions import find_similar
from pauseflow_nb.validation_words import reword_error

_Fields = TypeVar("_Fields", bound=BaseModel)


def read_fields(kind: type[_Fields], body: JSON) -> _Fields:
    """Read the fields that a model lists.

    Raises:
        InvalidParameter: If a field is invalid or unknown; names it.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as problem:
        error = problem.errors()[0]
        name = ".".join(map(str, error["loc"])) or "body"
        unknown = error["type"] == "extra_forbidden"
        reason = _describe_unknown(name, list(kind.model_fields)) if unknown else reword_error(error)
        raise InvalidParameter(name, reason) from None


def _describe_unknown(name: str, known: list[str]) -> str:
    similar = find_similar(name, known)
    names = ", ".join(known)
    return f"is not a known name; {f'did you mean {similar}?' if similar else f'known names are: {names}'}"


def read_text(body: dict[str, JSON], field: str) -> str | None:
    """Read an optional field that must be text."""
    value = body.get(field)
    if not isinstance(value, str | None):
        raise InvalidParameter(field, "must be text")
    return value


def resolve_path(root: Path, name: str, path: str) -> Path:
    """Resolve a path below the root directory of the server.

    Raises:
        InvalidParameter: If it leads out of that directory; `name` is the name of the field.
    """
    # Resolved on both sides: a link below the root directory may lead out of it.
    root = root.expanduser().resolve()
    try:
        # Jupyter's own paths may begin with a slash; one of the file system may lie below the root directory.
        whole = Path(path).resolve() if path.startswith("/") else root
        found = whole if whole != root and whole.is_relative_to(root) else (root / path.lstrip("/")).resolve()
    except (OSError, ValueError, RuntimeError):
        raise InvalidParameter(name, "is not a valid path") from None
    if not found.is_relative_to(root):
        raise InvalidParameter(name, "leads out of the server's root directory")
    if name == "output" and not found.parent.is_dir():
        folder = found.parent.relative_to(root)
        raise InvalidParameter(
            name,
            f"the server's root directory, from which paths are meant, has no folder {str(folder)!r}",
        )
    return found
