"""Prefect: suspend a flow that `flow.serve` runs, resume it by a bare request, and look at what ran. Prints JSON.

python prefect_suspend.py FOLDER       with Prefect's server, in processes of their own, on loopback
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

FLOW = """
import os, pathlib
from prefect import flow, task
from prefect.flow_runs import suspend_flow_run

LIVE = []

def log(line):
    with pathlib.Path("log").open("a") as lines:
        lines.write(f"{os.getpid()} {line}\\n")

@task(persist_result=True)
def kept():
    log("task with a persisted result")
    return 7

@task(persist_result=False)
def forgotten():
    log("task without")

@flow(persist_result=True)
def waits():
    log("code of the flow")
    number = kept()
    forgotten()
    before = len(LIVE)
    LIVE.append("made before the pause")
    suspend_flow_run(timeout=600, key="ask")
    log(f"after {number} {before}")

if __name__ == "__main__":
    waits.serve(name="pauses", print_starting_message=False, pause_on_shutdown=False)
"""
PARTS = ("code of the flow", "task with a persisted result", "task without")
URL = "http://127.0.0.1:4299/api"


def wait_until(is_so: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 300
    while not (found := is_so()):
        if time.monotonic() > end:
            raise SystemExit(f"Prefect: {what}: waited in vain")
        time.sleep(0.2)
    return found


def call(path: str, message: object | None = None) -> Any:
    """Send a request without any account; None while the server does not answer it."""
    body = None if message is None else json.dumps(message).encode()
    request = urllib.request.Request(URL + path, body, {"Content-Type": "application/json"})
    with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
    return None


def main() -> None:
    folder = Path(sys.argv[1])
    os.chdir(folder)
    os.environ |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": URL, "DO_NOT_TRACK": "1",
                   "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "ERROR"}  # fmt: skip
    Path("waits.py").write_text(FLOW)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "4299"]
    processes = [subprocess.Popen([sys.executable, *words], **quiet)]
    try:
        wait_until(lambda: call("/health"), "its server starts")
        processes.append(subprocess.Popen([sys.executable, "waits.py"], **quiet))
        served = wait_until(lambda: call("/deployments/name/waits/pauses"), "the flow is served")
        run = call(f"/deployments/{served['id']}/create_flow_run", {})["id"]
        wait_until(lambda: (call(f"/flow_runs/{run}") or {}).get("state_name") == "Suspended", "it is suspended")
        first = Path("log").read_text().split()[0]
        wait_until(lambda: not Path(f"/proc/{first}").exists(), "its process exits")
        answered = call(f"/flow_runs/{run}/resume", {})
        wait_until(lambda: " after " in Path("log").read_text(), "it continues")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
    log = [line.partition(" ") for line in Path("log").read_text().splitlines()]
    _, number, live = log[-1][2].split()
    print(
        json.dumps(
            {
                "the process that ran the code has exited": True,
                "a request to the API of its own server, without an account, answers": answered["status"] == "ACCEPT",
                "the persisted result of a task is there after the pause": number == "7",
                "an object of the process is there after the pause": live != "0",
                "runs of each part": {part: sum(line[2] == part for line in log) for part in PARTS},
            }
        )
    )


if __name__ == "__main__":
    main()
