"""How soon a server answers others while 1 MiB answers are checked that were made to cost much, beside an idle server.

    python benchmarks/bounded.py                  everything, table to benchmarks/results/bounded.md
    python benchmarks/bounded.py --quick          a few rounds, nothing written

One real `pauseflow serve` with its worker, on SQLite. One sender, then four, each with a link of its own, send the same
answer again as soon as they have been answered; meanwhile others are started, answered and cancelled, again and again.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beside import machine, programs, served

TOKEN = "benchmark"
SENDERS = (1, 4)
#: Goals, in seconds.
HEALTH, OTHERS = 0.2, 1.0

ONE = {"type": "object", "properties": {"inner": {"$ref": "#/$defs/Node"}}, "required": ["inner"]}
OTHER = {**ONE, "properties": {**ONE["properties"], "n": {"type": "integer"}}}  # type: ignore[dict-item]
SCHEMA = {
    "type": "object",
    "properties": {
        "texts": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "uniqueItems": True},
        "word": {"type": "string", "pattern": "^([a-z]+)+$"},
        "looking": {"type": "string", "pattern": "^(?=a)([a-z]+)+$"},
        "node": {"$ref": "#/$defs/Node"},
        "note": {"type": "string"},
    },
    "$defs": {"Node": {"anyOf": [ONE, OTHER, {"type": "null"}]}},
}
#: Not more than are parsed: beyond that, a body is refused before it is checked.
ENTRIES = 200_000
MIB = 1 << 20
JSON, TEXT = "application/json", "text/plain; charset=punycode"


def nested(depth: int) -> Any:
    node: Any = "wrong"
    for _ in range(depth):
        node = {"inner": node}
    return node


def padded(**fields: Any) -> bytes:
    text = json.dumps({**fields, "note": ""})
    return text.replace('"note": ""', f'"note": "{"x" * (MIB - len(text))}"').encode()


ATTACKS: dict[str, tuple[bytes, str]] = {
    f"a list of {ENTRIES:,} numbers for `list[str]`": (padded(texts=[0] * ENTRIES), JSON),
    "30,000 objects for a set": (padded(set=[{"n": n} for n in range(30_000)] + [{"n": 1}]), JSON),
    "a pattern that backtracks (`^([a-z]+)+$`)": (padded(word="a" * (MIB // 2) + "!"), JSON),
    "the same with look-around, which Rust's engine has not": (padded(looking="a" * (MIB // 2) + "!"), JSON),
    "60 levels of a union of models that contain themselves": (padded(node=nested(60)), JSON),
    "half a million brackets": (b"[" * (MIB // 2) + b"]" * (MIB // 2), JSON),
    "half a million fields of a form": (b"a&" * (MIB // 2), "application/x-www-form-urlencoded"),
    "text in the charset `punycode`": (b"a" * MIB, TEXT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few rounds; nothing is written")
    asked = parser.parse_args()
    rounds = 3 if asked.quick else 10
    load = os.getloadavg()[0]
    os.environ["JUPYTER_TOKEN"] = TOKEN
    with tempfile.TemporaryDirectory() as name:
        lines = _table(Path(name), rounds)
    about = (
        f"{machine.described()}. Load at the start {load:.1f}. {rounds} rounds each, `python benchmarks/bounded.py`."
    )
    table = "\n".join(["# While hostile answers are checked", "", about, "", *lines]) + "\n"
    print(table)
    if not asked.quick:
        Path(__file__).parent.joinpath("results", "bounded.md").write_text(table)


def _table(folder: Path, rounds: int) -> list[str]:
    programs.write_notebook(folder / "one.ipynb", ["1"])
    asks = ["from pauseflow_nb import flow", f"%%step ask\nflow.suspend(schema={SCHEMA!r})"]
    source = programs.write_notebook(folder / "asks.ipynb", asks)
    lines = [
        "Each of these answers is 1 MiB long, and is sent again and again. Median and, in brackets, the longest.",
        f"Goals: health within {HEALTH * 1000:.0f} ms, the others within {OTHERS:g} s.",
        "",
        "| meanwhile | senders | health | answer another | start another | cancel another | theirs | goals |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with served.served(folder, "forked", workers=1) as queue:
        first = served.start_detached(queue, source, folder / "asks-out.ipynb")
        machine.wait_until(lambda: queue.state(first) == "suspended")
        served._multiply(queue, first, max(SENDERS) + 2 + 2 * rounds * (len(SENDERS) * len(ATTACKS) + 1))  # noqa: SLF001  (ours as well)
        waiting = [view for view in _views(queue) if view["id"] != first]
        hostile = [waiting.pop()["suspended"][0]["resume_url"] for _ in range(max(SENDERS))]
        for _ in range(2):
            # The first answers load what all later ones use.
            _send(waiting.pop()["suspended"][0]["resume_url"], b'{"word": "fine"}', JSON)
        lines.append(_measured("nothing (an idle server)", queue, waiting, rounds, [], (b"", JSON)))
        for name, attack in ATTACKS.items():
            lines += [_measured(name, queue, waiting, rounds, hostile[:count], attack) for count in SENDERS]
    return lines


def _views(queue: Any) -> list[Any]:
    found: list[Any] = []
    while page := queue.list(states=("suspended",), limit=100, offset=len(found), with_links=True):
        found += page
    return found


def _measured(  # noqa: PLR0917
    name: str, queue: Any, waiting: list[Any], rounds: int, hostile: list[str], attack: tuple[bytes, str]
) -> str:
    base = queue.live_server_url()
    taken: dict[str, list[float]] = {each: [] for each in ("health", "answer", "start", "cancel")}
    with _attack(hostile, *attack) as statuses:
        for _ in range(rounds):
            links = [waiting.pop()["suspended"][0] for _ in range(2)]
            for act, call in {
                "health": lambda: _send(f"{base}/pauseflow/api/health"),
                "answer": lambda: _send(links[0]["resume_url"], b'{"word": "fine"}', JSON),  # noqa: B023
                "start": lambda: _send(f"{base}/pauseflow/api/executions", b'{"notebook": "one.ipynb"}', JSON),
                "cancel": lambda: _send(links[1]["cancel_url"], b"", JSON),  # noqa: B023
            }.items():
                started = time.perf_counter()
                status = call()
                taken[act].append(time.perf_counter() - started)
                assert status in {200, 201}, (act, status)
    is_met = max(taken["health"]) <= HEALTH and max(max(taken[act]) for act in taken if act != "health") <= OTHERS
    figures = [f"{statistics.median(each) * 1000:.0f} ms ({max(each) * 1000:.0f})" for each in taken.values()]
    theirs = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())) or "-"
    line = f"| {name} | {len(hostile)} | {' | '.join(figures)} | {theirs} | {'met' if is_met else 'MISSED'} |"
    print(line, flush=True)
    return line


@contextmanager
def _attack(links: list[str], body: bytes, kind: str) -> Iterator[dict[int, int]]:
    """Send to all links until the end; gives the statuses that the senders got, with their counts."""
    is_over, statuses, lock = threading.Event(), dict[int, int](), threading.Lock()

    def send(link: str) -> None:
        while not is_over.is_set():
            status = _send(link, body, kind)
            with lock:
                statuses[status] = statuses.get(status, 0) + 1
            if status == 429:
                # The limit of requests from one address.
                is_over.wait(1)

    senders = [threading.Thread(target=send, args=[link]) for link in links]
    for sender in senders:
        sender.start()
    if links:
        is_over.wait(1)
    try:
        yield statuses
    finally:
        is_over.set()
        for sender in senders:
            sender.join()


def _send(url: str, body: bytes | None = None, kind: str = "") -> int:
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": kind, "Accept": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers, method="GET" if body is None else "POST")
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.read()
        return refused.code


if __name__ == "__main__":
    main()
