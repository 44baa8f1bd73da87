"""Airflow: a task that waits for a person, answered through the REST API without and with an account. Prints JSON.

python airflow_hitl.py FOLDER       with `airflow standalone`, on loopback
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

DAG = """
import os, pathlib
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag, task

def log(line):
    with pathlib.Path(os.environ["AIRFLOW_HOME"], "log").open("a") as lines:
        lines.write(f"{os.getpid()} {line}\\n")

@task
def before():
    log("before")
    return 7

@task
def after(number):
    log(f"after {number}")

@dag(schedule=None)
def pauses():
    number = before()
    number >> ApprovalOperator(task_id="ask", subject="Go on?") >> after(number)

pauses()
"""
PORT = "4298"
URL = f"http://127.0.0.1:{PORT}"


def wait_until(is_so: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 400
    while not (found := is_so()):
        if time.monotonic() > end:
            raise SystemExit(f"Airflow: {what}: waited in vain")
        time.sleep(1)
    return found


def call(method: str, path: str, message: object | None = None, token: str = "") -> tuple[int, Any]:
    """Send a request; the status is 0 while the server does not answer it."""
    body = None if message is None else json.dumps(message).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(URL + path, body, headers, method=method)) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        return refused.code, None
    except OSError:
        return 0, None


def sign_in(folder: Path) -> str:
    passwords = folder / "simple_auth_manager_passwords.json.generated"
    ((name, password),) = json.loads(
        wait_until(lambda: passwords.exists() and passwords.read_text(), "it starts")
    ).items()
    account = {"username": name, "password": password}
    wait_until(lambda: call("POST", "/auth/token", account)[0] == 201, "its server starts")
    token: str = call("POST", "/auth/token", account)[1]["access_token"]
    return token


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "dags").mkdir()
    (folder / "dags" / "pauses.py").write_text(DAG)
    os.environ |= {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__API__PORT": PORT,
                   "AIRFLOW__API__HOST": "127.0.0.1", "AIRFLOW__API__BASE_URL": URL,
                   "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{URL}/execution/",
                   "AIRFLOW__CORE__PARALLELISM": "2", "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
    with (folder / "output").open("w") as output:
        airflow = subprocess.Popen(["airflow", "standalone"], stdout=output, stderr=output, start_new_session=True)
    try:
        token = sign_in(folder)
        wait_until(
            lambda: call("PATCH", "/api/v2/dags/pauses", {"is_paused": False}, token)[0] == 200, "it reads the DAG"
        )
        run = call("POST", "/api/v2/dags/pauses/dagRuns", {"logical_date": None}, token)[1]["dag_run_id"]
        runs = f"/api/v2/dags/pauses/dagRuns/{run}"

        def waiting() -> Any:
            _, found = call("GET", f"{runs}/taskInstances/ask", token=token)
            return found and found["state"] in {"awaiting_input", "deferred"} and found

        asked = wait_until(waiting, "it waits")
        wait_until(lambda: not is_running(asked["pid"]), "the process of the task exits")
        answer, path = {"chosen_options": ["Approve"], "params_input": {}}, f"{runs}/taskInstances/ask/-1/hitlDetails"
        statuses = [call("PATCH", path, answer, as_whom)[0] for as_whom in ("", token)]
        wait_until(lambda: " after " in (folder / "log").read_text(), "it continues")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(airflow.pid, signal.SIGTERM)
        airflow.wait()
    log = [line.split() for line in (folder / "log").read_text().splitlines()]
    print(
        json.dumps(
            {
                "state while it waits": asked["state"],
                "status of an answer without an account, and with one": statuses,
                "the XCom is there after the pause": log[-1][2] == "7",
                "each task has a process of its own": log[0][0] != log[-1][0],
                "runs of each part": {name: sum(line[1] == name for line in log) for name in ("before", "after")},
            }
        )
    )


def is_running(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


if __name__ == "__main__":
    main()
