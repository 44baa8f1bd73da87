"""pauseflow_nb: pause after a plain cell, answer by a bare link, and look at what is left. Prints JSON.

python ours.py FOLDER
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

BEFORE = """\
import os
import pandas as pd
from pauseflow_nb import flow, steps
frame, double = pd.DataFrame({"a": [1, 2]}), lambda number: 2 * number
print(os.getpid(), "plain", file=open("log", "a"))
"""
CELLS = [
    BEFORE,
    "%%step ask\nprint(os.getpid(), 'ask', file=open('log', 'a'))\nflow.suspend('1h')",
    "%%step after\nprint(os.getpid(), 'after', double(frame.a.sum()), file=open('log', 'a'))",
]


def main() -> None:
    folder = Path(sys.argv[1])
    os.chdir(folder)
    os.environ["PAUSEFLOW_DATA_DIR"] = str(folder / "store")
    command = [sys.executable, "-m", "pauseflow_nb"]
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for n, source in enumerate(CELLS)
    ]
    Path("in.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    ran = subprocess.run(
        [*command, "run", "in.ipynb", "out.ipynb", "--until-pause", "--json"], check=False, stdout=subprocess.PIPE
    )
    execution = json.loads(ran.stdout)
    first = int(Path("log").read_text().split()[0])
    has_exited = not Path(f"/proc/{first}").exists()
    server = subprocess.Popen([*command, "serve", "--port", "7399"], stderr=subprocess.DEVNULL)
    try:
        link = "http://127.0.0.1:7399" + execution["suspended"][0]["resume_url"].partition("7287")[2]
        status = post(link)
        while "after" not in Path("log").read_text():
            time.sleep(0.1)
    finally:
        server.terminate()
        server.wait()
    log = [line.split() for line in Path("log").read_text().splitlines()]
    print(
        json.dumps(
            {
                "pauses": ran.returncode == 75,
                "a bare request to the link answers": status == 200,
                "the process that ran the code has exited": has_exited,
                "a dataframe and a lambda are there after the pause, in a new process": log[-1][2] == "6"
                and int(log[-1][0]) != first,
                "runs of each part": {name: sum(line[1] == name for line in log) for name in ("plain", "ask", "after")},
            }
        )
    )


def post(link: str) -> int:
    """Answer as soon as the server is there."""
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(link, b"{}", method="POST")) as answer:
                return int(answer.status)
        except urllib.error.URLError:
            time.sleep(0.1)


if __name__ == "__main__":
    main()
