"""Sending requests as a program does, and waiting for what they cause."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def wait_until(predicate: Callable[[], Any], description: str, timeout_seconds: float = 60) -> Any:
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if found := predicate():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_seconds} s: {description}")


def send(url: str, body: Any = None, method: str = "POST") -> tuple[int, Any]:
    """Send JSON as a program would, and give back status and JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json", "Accept": "application/json"}, method=method)
    try:
        with urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)
