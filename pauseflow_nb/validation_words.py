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
    "timezone_aware": "must have a time zone, such as Z or +02:00",
    "timezone_naive": "must have no time zone",
    "complex_type": "must be a complex number, such as 1+2j",
    "json_invalid": "must be JSON, such as [1, 2]",
    "list_type": "must be a list",
    **dict.fromkeys(["dict_type", "model_type", "model_attributes_type"], "must be an object"),
}
#: As errors with a JSON Schema say it.
_SHORT = {
    "URL scheme should be ": "must be a URL that begins with ",
    "must be greater than or equal to ": "must be at least ",
    "must be less than or equal to ": "must be at most ",
    "must be greater than ": "must be more than ",
}


def reword_error(error: Mapping[str, Any]) -> str:
    """Reword an error of pydantic, to be written after the name of the field."""
    message: str = error["msg"]
    if error["type"] in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if error["type"] == "uuid_version":
        return f"must be a UUID of version {error['ctx']['expected_version']}" if "ctx" in error else message
    sentence = _PLAIN.get(error["type"]) or re.sub(r"^\w+ should ", "must ", message)
    for long, short in _SHORT.items():
        sentence = sentence.replace(long, short)
    return sentence
