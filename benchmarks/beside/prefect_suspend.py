"""Prefect: from `resume_flow_run` to the line after `suspend_flow_run`, with `flow.serve`. Prints one JSON list of seconds.

python prefect_suspend.py COUNT FOLDER       with Prefect's server, in processes of their own, on loopback
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

FLOW = """
import pathlib, time
from prefect import flow
from prefect.flow_runs import suspend_flow_run

@flow(persist_result=True)
def waits():
    suspend_flow_run(timeout=600, key="ask")
    with pathlib.Path("lines").open("a") as lines:
        lines.write(repr(time.time()) + "\\n")

if __name__ == "__main__":
    waits.serve(name="bench", print_starting_message=False, pause_on_shutdown=False)
"""


def wait_until(is_so: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit("Prefect: waited in vain")
        time.sleep(0.05)


def answers(url: str) -> bool:
    with suppress(OSError):
        return urllib.request.urlopen(f"{url}/health", timeout=2).status == 200
    return False


def measure(count: int, lines: Path) -> list[float]:
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment
    from prefect.flow_runs import resume_flow_run

    taken = []
    with get_client(sync_client=True) as client:
        for n in range(count):
            run = run_deployment("waits/bench", timeout=0)
            wait_until(lambda: client.read_flow_run(run.id).state.name == "Suspended")  # noqa: B023
            posted = time.time()
            resume_flow_run(run.id)
            wait_until(lambda: lines.exists() and len(lines.read_text().split()) == n + 1)  # noqa: B023
            taken.append(float(lines.read_text().split()[-1]) - posted)
    return taken


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    port = "4288"
    url = f"http://127.0.0.1:{port}/api"
    os.environ |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": url, "DO_NOT_TRACK": "1",
                   "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_LOGGING_LEVEL": "ERROR"}  # fmt: skip
    (folder / "waits.py").write_text(FLOW)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    server_words = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    server = subprocess.Popen([sys.executable, *server_words], **quiet)
    runner = None
    try:
        wait_until(lambda: answers(url))
        runner = subprocess.Popen([sys.executable, "waits.py"], **quiet)
        os.chdir(folder)
        from prefect.client.orchestration import get_client

        def is_served() -> bool:
            with suppress(Exception), get_client(sync_client=True) as client:
                return client.read_deployment_by_name("waits/bench") is not None
            return False

        wait_until(is_served)
        print(json.dumps(measure(count, folder / "lines")))
    finally:
        for process in (runner, server):
            if process is not None:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
