"""A kernel's life for the tests: reads actions as JSON from standard input, writes what came of them as JSON.

Run as a program, so that what one writes is read by a new process.
"""

import json
import sys
import traceback
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from pauseflow_nb.errors import SnapshotError, StorageFull
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.protocol import SnapshotRef


def main() -> None:
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    snapshot.note_start()
    request = json.load(sys.stdin)
    answers = [_act(shell, **action) for action in request]
    with open(sys.argv[1], "w", encoding="utf-8") as file:  # noqa: PTH123
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
    unrestored = {item.name: vars(item) for item in restored.unrestored}
    return {"names": sorted(restored.values), "unrestored": unrestored, "notes": restored.notes}


def _put_back(shell: Any, bound_by_setup: list[str]) -> dict[str, Any]:
    snapshot.put_back(shell, shell._restored, set(bound_by_setup))
    return {}


if __name__ == "__main__":
    main()
