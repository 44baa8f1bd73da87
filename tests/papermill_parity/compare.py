"""Run every notebook of a folder through papermill and through us, and show where the results differ.

    python tests/papermill_parity/compare.py FOLDER [--command run|engine] [OPTION …]

Other options go to both. What differs in two runs of papermill is not looked at: times, ids, addresses.

Meant for notebooks that are not ours, such as the test notebooks of papermill and nbclient.
"""

import argparse
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

_PROGRAMS = {
    "papermill": ["papermill"],
    "engine": ["papermill", "--engine", "pauseflow"],
    "run": ["pauseflow_nb", "run"],
}

#: Differs from run to run, also between two runs of papermill.
_FLEETING = re.compile(
    r"0x[0-9a-f]{6,}|ipykernel_\d+/\d+\.py|\d+\.\d+ ?(?:ms|s)\b|\b[0-9a-f]{32}\b|\d{4}-\d\d-\d\dT[\d:.]+Z?"
)


Run: TypeAlias = tuple[int, str, dict[str, Any] | None]


def run(command: str, notebook: Path, folder: Path, *options: str) -> Run:
    """Run a notebook; returns exit code, standard error, and the output notebook if there is one."""
    out = folder / f"{command}-{notebook.name}"
    words = [sys.executable, "-m", *_PROGRAMS[command], str(notebook), str(out), "--no-progress-bar", *options]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=280,
        stdin=subprocess.DEVNULL,
        check=False,
        env={**os.environ, "PAUSEFLOW_DATA_DIR": str(folder / "store")},
    )
    return done.returncode, done.stderr, json.loads(out.read_text()) if out.exists() else None


def essence(notebook: dict[str, Any] | None) -> dict[str, Any] | None:
    """What two runs of one notebook have in common."""
    if notebook is None:
        return None
    notebook = copy.deepcopy(notebook)
    widgets = notebook["metadata"].pop("widgets", {})
    states = [state for kind in widgets.values() for state in kind.get("state", {}).values()]
    return {
        "metadata": _cleaned(notebook["metadata"]),
        "widgets": sorted(str(state.get("model_name")) for state in states),
        "cells": [_cleaned({key: value for key, value in cell.items() if key != "id"}) for cell in notebook["cells"]],
    }


def differences(one: Any, two: Any, where: str = "") -> Iterator[str]:
    """List where two JSON values differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted({*one, *two}):
            yield from differences(one.get(key, "(absent)"), two.get(key, "(absent)"), f"{where}.{key}")
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from differences(left, right, f"{where}[{index}]")
    elif one != two:
        yield f"{where}: {_short(one)} | {_short(two)}"


def compare(notebook: Path, folder: Path, command: str, *options: str) -> list[str]:
    """Run one notebook both ways and list the differences, papermill's side first."""
    return compared(run("papermill", notebook, folder, *options), run(command, notebook, folder, *options))


def compared(theirs: Run, ours: Run) -> list[str]:
    """List the differences of two runs."""
    found = list(differences({"exit": theirs[0]}, {"exit": ours[0]}))
    found += differences(essence(theirs[2]), essence(ours[2]))
    last = [output.strip().splitlines()[-1] if output.strip() else "" for output in (theirs[1], ours[1])]
    return found + ([f"said: {last[0][:150]} | {last[1][:150]}"] if found and last[0] != last[1] else [])


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        if "iopub.execute_input" in value:
            return sorted(value)
        return {key: _comparable(key, item) for key, item in value.items() if key not in {"pauseflow", "output_path"}}
    if isinstance(value, list):
        texts = value and all(isinstance(item, str) for item in value)
        # Papermill keeps streams as they came, in pieces; the text is what counts.
        return _joined([_cleaned(item) for item in value]) if not texts else [_cleaned(item) for item in value]
    return _FLEETING.sub("#", value) if isinstance(value, str) else value


def _joined(values: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for value in values:
        last: Any = joined[-1] if joined else None
        if _is_stream(value) and _is_stream(last) and last["name"] == value["name"]:
            last["text"] = "".join([*last["text"], *value["text"]]).splitlines(keepends=True)
        else:
            joined.append(value)
    return joined


def _is_stream(value: Any) -> bool:
    return isinstance(value, dict) and value.get("output_type") == "stream"


def _comparable(key: str, value: Any) -> Any:
    return value is not None if key in {"start_time", "end_time", "duration"} else _cleaned(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 160 else text[:160] + " …"


def main() -> None:
    """Compare a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--command", choices=["run", "engine"], default="run")
    chosen, options = parser.parse_known_args()
    notebooks = sorted(chosen.folder.resolve().glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for notebook, found in zip(
            notebooks,
            pool.map(lambda each: compare(each, Path(folder), chosen.command, *options), notebooks),
            strict=True,
        ):
            print("same " if not found else "DIFF ", notebook.name)
            for line in found:
                print("      ", line)


if __name__ == "__main__":
    main()
