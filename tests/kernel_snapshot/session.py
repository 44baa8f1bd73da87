"""A kernel's life for the tests: does the actions of a JSON file, and writes what came of them into another.

Run as a program, which forks a process for each life that it is told of on standard input: what one writes is
read by another process, and loading IPython is paid for once.
"""

import json
import os
import random
import sys
import traceback
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from pauseflow_nb.errors import SnapshotError, StorageFull
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.kernel.snapshot.process_state import capture
from pauseflow_nb.protocol import SnapshotRef


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _become(request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(request: dict[str, Any]) -> None:
    """Live in this process, which a test asked for, as if it had been started for it."""
    code = 1
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        random.seed()
        _live(request["actions"], request["out"])
        code = 0
    except BaseException:  # noqa: BLE001 - the end of this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _live(actions: list[dict[str, Any]], out: str) -> None:
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    snapshot.note_start(shell)
    answers = [_act(shell, **action) for action in actions]
    with open(out, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(answers, file)


def _act(shell: Any, **action: Any) -> dict[str, Any]:
    try:
        return globals()[f"_{action.pop('do')}"](shell, **action)  # type: ignore[no-any-return]
    except (SnapshotError, StorageFull) as error:
        return {"raised": type(error).__name__, "message": str(error)}


def _run(shell: Any, cell: str) -> dict[str, Any]:
    result = shell.run_cell(cell, store_history=True)
    error = result.error_in_exec or result.error_before_exec
    text = "".join(traceback.format_exception(error)) if error is not None else None
    return {"error": text, "result": repr(result.result)}


def _save(shell: Any, folder: str, **options: Any) -> dict[str, Any]:
    saved = snapshot.save(shell, folder, **options)
    unsaved = {item.name: vars(item) for item in saved.unsaved}
    return {"ref": vars(saved.ref), "unsaved": unsaved, "written": saved.written, "notes": saved.notes}


def _restore(shell: Any, folder: str, ref: dict[str, str], **options: Any) -> dict[str, Any]:
    restored = snapshot.restore(shell, folder, SnapshotRef(**ref), **options)
    shell._restored = restored
    unrestored = {loss.name: vars(loss) for loss in restored.losses if loss.name}
    notes = [loss.reason for loss in restored.losses if not loss.name]
    return {"names": sorted(restored.values), "unrestored": unrestored, "notes": notes}


def _put_back(shell: Any, bound_by_setup: list[str]) -> dict[str, Any]:
    losses = snapshot.restore_after_setups(shell, shell._restored, set(bound_by_setup))
    return {"notes": [loss.reason for loss in losses if not loss.name]}


def _begin_setup(shell: Any) -> dict[str, Any]:
    capture.begin_setup(shell)
    return {}


def _end_setup(shell: Any) -> dict[str, Any]:
    capture.end_setup(shell)
    return {}


if __name__ == "__main__":
    main()
