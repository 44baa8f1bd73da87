"""Merge the parameters from papermill's flags `-p -r -f -y -b`."""

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pauseflow_nb.errors import InvalidParameter
from pauseflow_nb.runner.parameters import check_parameters

#: Of a file or a flag, when all is written out.
_MOST_VALUES = 1_000_000


def resolve_parameters(
    *,
    typed: Sequence[tuple[str, str]] = (),
    raw: Sequence[tuple[str, str]] = (),
    files: Sequence[str] = (),
    yaml: Sequence[str] = (),
    base64_yaml: Sequence[str] = (),
) -> dict[str, Any]:
    """Merge the parameters of all flags; later ones replace earlier ones, in papermill's order: base64, files, YAML, typed, raw.

    Args:
        typed: `-p NAME VALUE`: True, False, None, integers and floats are converted.
        raw: `-r NAME VALUE`: always text.
        files: `-f FILE`: YAML or JSON; any path that papermill reads.
        yaml: `-y YAML`: a mapping.
        base64_yaml: `-b BASE64`: a mapping in YAML, encoded.

    Raises:
        InvalidParameter: If a flag cannot be parsed, or a name is not an identifier.
    """
    merged: dict[str, Any] = {}
    for text in base64_yaml:
        merged |= _parse_mapping("-b", _decode(text))
    for file in files:
        merged |= _parse_mapping(f"-f {file}", _read(file))
    for text in yaml:
        merged |= _parse_mapping("-y", text)
    for flag, pairs in (("-p", typed), ("-r", raw)):
        for name, _ in pairs:
            before, is_pair, after = name.partition("=")
            if is_pair and before.isidentifier():
                words = f"{flag} {before} {shlex.quote(after or 'VALUE')}"
                raise InvalidParameter(name, f"name and value are two words: write {words}")
    merged |= {name: _convert(value) for name, value in typed}
    merged |= dict(raw)
    check_parameters(merged)
    return merged


def _convert(value: str) -> Any:
    literals = {"True": True, "False": False, "None": None}
    if value in literals:
        return literals[value]
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as problem:  # binascii.Error, UnicodeDecodeError, and the error for letters beyond ASCII
        raise InvalidParameter("-b", f"is not base64 of UTF-8 text: {problem}") from None


def _read(file: str) -> str:
    from pauseflow_nb.runner import file_addresses

    try:
        is_url = "://" in file or file == "-"
        return file_addresses.read(file) if is_url else file_addresses.read_local(Path(file))
    except Exception as problem:  # noqa: BLE001 - each kind of address has its own errors
        raise InvalidParameter(f"-f {file}", f"cannot be read: {problem}") from None


def _parse_mapping(flag: str, text: str) -> dict[str, Any]:
    import yaml
    from papermill.iorw import NoDatesSafeLoader  # dates stay text, as in papermill

    try:
        found = yaml.load(text, Loader=NoDatesSafeLoader)  # noqa: S506 - it is a safe loader
    except yaml.YAMLError as problem:
        raise InvalidParameter(flag, f"is not YAML: {' '.join(str(problem).split())}") from None
    except RecursionError:
        raise InvalidParameter(flag, "is nested too deeply") from None
    except Exception as problem:  # noqa: BLE001 - PyYAML raises various errors for values such as `!!bool x`
        raise InvalidParameter(flag, f"holds a value that cannot be read: {problem}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidParameter(flag, f"must be a mapping of names to values, not {type(found).__name__}")
    for name in found:
        if not isinstance(name, str):
            raise InvalidParameter(flag, f"has the name {name!r}, which must be text, such as `alpha`")
    if _count_values(found, {}) > _MOST_VALUES:
        raise InvalidParameter(flag, f"has more than {_MOST_VALUES} values, each counted as often as it is repeated")
    return found


def _count_values(value: Any, counted: dict[int, int]) -> int:
    """Count what a value is when it is written out: YAML may repeat a part of itself, and parts of that, and so on."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in counted:
        counted[id(value)] = 1  # for one that holds itself, which is refused elsewhere
        inner = value.values() if isinstance(value, dict) else value
        counted[id(value)] = 1 + sum(_count_values(each, counted) for each in inner)
    return counted[id(value)]
