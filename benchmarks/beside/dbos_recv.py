"""DBOS: from `send` to the line after `recv`, SQLite, polling as it does unless told otherwise. Prints a JSON list.

python dbos_recv.py COUNT FOLDER
"""

import json
import sys
import time
from pathlib import Path

from dbos import DBOS

SEEN: list[float] = []


@DBOS.workflow()
def waits() -> None:
    DBOS.recv("answer", timeout_seconds=600)
    SEEN.append(time.time())


def main() -> None:
    count, folder = int(sys.argv[1]), Path(sys.argv[2])
    database = f"sqlite:///{folder}/dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": database, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()
    taken = []
    for n in range(count):
        handle = DBOS.start_workflow(waits)
        # Not always at the same moment of its polling.
        time.sleep(1 + 0.37 * n % 1)
        posted = time.time()
        DBOS.send(handle.workflow_id, "yes", "answer")
        handle.get_result()
        taken.append(SEEN[-1] - posted)
    DBOS.destroy()
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
