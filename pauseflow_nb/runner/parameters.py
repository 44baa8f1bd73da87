"""Check the parameters of an execution, whoever gives them, before anything is stored."""

from collections.abc import Mapping
from typing import Any

from pauseflow_nb.errors import InvalidParameter

__all__ = ["check_parameters"]


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check that each parameter can be written into a notebook.

    Raises:
        InvalidParameter: Naming the first that cannot.
    """
    for name, value in parameters.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidParameter(str(name), "a name must be a Python identifier, such as `alpha`")
        _check_value(name, value, "")


def _check_value(name: str, value: Any, at: str) -> None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    if isinstance(value, Mapping) and all(isinstance(key, (str, int, float)) for key in value):
        for key, each in value.items():
            _check_value(name, each, f"{at}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            _check_value(name, each, f"{at}[{number}]")
    else:
        where = f" at {at}" if at else ""
        raise InvalidParameter(
            name,
            f"must be JSON, but holds {type(value).__name__}{where}: use text, numbers, booleans, None, lists and dicts",
        )
