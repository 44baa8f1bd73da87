"""jupyter-scheduler: a job whose second cell fails, and the same job again. Prints JSON.

python scheduler_retry.py FOLDER
"""

import json
import os
import sys
import time
from pathlib import Path

from papermill_retry import write


def main() -> None:
    from jupyter_scheduler.environments import StaticEnvironmentManager
    from jupyter_scheduler.models import CreateJob, Status
    from jupyter_scheduler.orm import create_tables
    from jupyter_scheduler.scheduler import Scheduler

    folder = Path(sys.argv[1])
    os.chdir(folder)
    write(folder / "in.ipynb")
    # Jobs run in a copy of the notebook's folder: what they count is written here.
    text = (folder / "in.ipynb").read_text()
    (folder / "in.ipynb").write_text(text.replace("'log'", f"'{folder}/log'").replace("'seen'", f"'{folder}/seen'"))
    database = f"sqlite:///{folder}/jobs.sqlite"
    create_tables(database, drop_tables=True)
    scheduler = Scheduler(root_dir=str(folder), environments_manager=StaticEnvironmentManager(), db_url=database)
    scheduler.staging_path = str(folder / "staging")
    ends = []
    for _ in range(2):
        asked = CreateJob(input_uri="in.ipynb", runtime_environment_name="", output_formats=["ipynb"], name="job")
        job = scheduler.create_job(asked)
        while (found := scheduler.get_job(job, job_files=False)).status.value not in {"COMPLETED", "FAILED"}:
            time.sleep(0.05)
        ends.append(found.status.value)
    print(
        json.dumps(
            {
                "states of a job": [state.value for state in Status],
                "ends of the two jobs": ends,
                "runs of each part": {"the cell before the one that failed": len((folder / "log").read_text().split())},
            }
        )
    )


if __name__ == "__main__":
    main()
