"""`make demo`: run `01_approve_model.ipynb` until it asks, wait for the answer, and show what came of it.

With `CI=true` nobody is there to answer: then this opens the link itself, after showing it.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

HERE = Path(__file__).resolve().parent
FOLDER = Path("demo").resolve()
OUTPUT = FOLDER / "approve_model.ipynb"
RESULT = FOLDER / "approved_model.json"
STORE = FOLDER / "store"
PAUSEFLOW = [sys.executable, "-m", "pauseflow_nb"]
PROGRAM = Path(sys.executable).with_name("pauseflow")
#: Exit code of `pauseflow run` after Ctrl-C.
LEFT = 130
RESUME_LINK = re.compile(r"https?://\S+/pauseflow/resume/\S+")


def main() -> int:
    """Run the notebook with a store of its own; give back the exit code of `pauseflow run`."""
    FOLDER.mkdir(exist_ok=True)
    cancel_what_still_waits()
    for old in (OUTPUT, RESULT):
        old.unlink(missing_ok=True)
    print(
        "A model learns to detect tumours now. Then the notebook asks whether it may be used for screening: you see\n"
        "how many cancers it misses. Its kernel exits while it waits for you.\n"
        "Open the approve link in a browser and press Approve, or send a request to the resume link\n"
        f"from another terminal:  curl -X POST LINK\nThe notebook so far is in {OUTPUT}\n",
        flush=True,
    )
    # Ctrl-C reaches `pauseflow run` as well, which says what it does; it is waited for.
    signal.signal(signal.SIGINT, lambda *_: None)
    status = run(answer=os.environ.get("CI") == "true")
    if status == 0:
        show(json.loads(RESULT.read_text(encoding="utf-8")))
    elif status == LEFT:
        print(f"\n`make demo` begins anew. To continue with this one:  PAUSEFLOW_DATA_DIR={STORE} {PROGRAM} serve")
    return status


def cancel_what_still_waits() -> None:
    """End demos that were left without an answer: they own the output as long as they wait."""
    if not STORE.exists():
        return
    listed = subprocess.run([*PAUSEFLOW, "list", "--json"], env=environment(), check=True, capture_output=True).stdout
    for execution in json.loads(listed):
        if execution["ended_at"] is None:
            subprocess.run([*PAUSEFLOW, "cancel", execution["id"]], env=environment(), check=True, capture_output=True)


def environment() -> dict[str, str]:
    """Give the demo a store of its own, which leaves yours alone."""
    return {**os.environ, "PAUSEFLOW_DATA_DIR": str(STORE)}


def run(*, answer: bool) -> int:
    """Run the notebook attached to this terminal; answer the question it prints if asked to."""
    command = [*PAUSEFLOW, "run", str(HERE / "01_approve_model.ipynb"), str(OUTPUT), "--cwd", str(FOLDER)]
    if not answer:
        return subprocess.run(command, env=environment(), check=False).returncode
    with subprocess.Popen(
        command, env=environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        link = None
        for line in process.stderr:
            print(line, end="", flush=True)
            link = RESUME_LINK.search(line) or link
            # The cancel link is the last that is shown.
            if link and "/pauseflow/cancel/" in line:
                print("CI=true: answering it", flush=True)
                approve(link[0])
    return process.returncode


def approve(link: str) -> None:
    """Send what a person would send who approves."""
    body = json.dumps({"comment": "approved by make demo"}).encode()
    urlopen(Request(link, body, {"Content-Type": "application/json"}), timeout=30).close()


def show(result: dict[str, object]) -> None:
    """Say what a person should look at."""
    print(
        f"\nThe model was trained by process {result['trained by process']} and published by process "
        f"{result['published by process']}.\n  {RESULT}   what the last step wrote\n  {OUTPUT}   the finished notebook"
    )


if __name__ == "__main__":
    sys.exit(main())
