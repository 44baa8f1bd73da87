"""Logs as JSON: one object in a line, with what `extra=` added."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from pauseflow_nb.json_logs import JsonFormatter


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    text = io.StringIO()
    handler, made = logging.StreamHandler(text), logging.getLogger("tests.json_logs")
    handler.setFormatter(JsonFormatter())
    made.addHandler(handler)
    made.setLevel(logging.INFO)
    yield made, text
    made.removeHandler(handler)


def test_a_record_is_one_line_with_its_facts(logger: tuple[logging.Logger, io.StringIO]) -> None:
    made, text = logger
    made.info("began %s\nagain", "e1", extra={"execution": "e1", "segment": 0})
    (line,) = text.getvalue().splitlines()
    found = json.loads(line)

    assert (found["level"], found["logger"], found["message"]) == ("INFO", "tests.json_logs", "began e1\nagain")
    assert (found["execution"], found["segment"]) == ("e1", 0)
    assert found["time"].endswith("Z")


def test_an_exception_stands_in_the_same_line(logger: tuple[logging.Logger, io.StringIO]) -> None:
    made, text = logger
    try:
        raise ValueError("no such thing")
    except ValueError:
        made.exception("it failed", extra={"what": object})
    (line,) = text.getvalue().splitlines()

    assert "ValueError: no such thing" in json.loads(line)["exception"]
    assert "object" in json.loads(line)["what"]
