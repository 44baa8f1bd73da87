"""Reword the validation errors of pydantic, which are written for programmers, so that users understand them."""

import re
from collections.abc import Mapping
from typing import Any

_PLAIN = {
    "missing": "is required",
    "extra_forbidden": "is not asked for",
    **dict.fromkeys(["int_type", "int_parsing", "int_from_float"], "must be a whole number"),
    **dict.fromkeys(["float_type", "float_parsing"], "must be a number"),
    **dict.fromkeys(["bool_type", "bool_parsing"], "must be true or false"),
    **dict.fromkeys(["byte_size", "byte_size_unit"], "must be a number of bytes, such as 500 MB"),
    "string_type": "must be text",
    "list_type": "must be a list",
    **dict.fromkeys(["dict_type", "model_type", "model_attributes_type"], "must be an object"),
}


def reword_error(error: Mapping[str, Any]) -> str:
    """Reword an error of pydantic, to be written after the name of the field."""
    message: str = error["msg"]
    if error["type"] in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return _PLAIN.get(error["type"]) or re.sub(r"^\w+ should ", "must ", message)
