"""Reword the validation errors of pydantic, which are written for programmers, for users."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["reword_error"]


def reword_error(error: Mapping[str, Any]) -> str:
    """Write an error of pydantic so that it continues the name of the field.

    Args:
        error: One of `ValidationError.errors()`.
    """
    message: str = error["msg"]
    if error["type"] in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    plain = {"missing": "is required", "extra_forbidden": "is not asked for"}
    return plain.get(error["type"]) or re.sub(r"^\w+ should ", "must ", message)
