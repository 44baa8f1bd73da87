"""A wheel of the last commit suspends; the next one, built from the files as they are now, resumes."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent

CELLS = [
    "from pauseflow_nb import flow, steps\nimport pauseflow_nb",
    """%%step make
import collections, datetime, enum, functools, numpy as np, threading
class Colour(enum.Enum):
    red = 1
class Item:
    def __init__(self, n): self.n = n
    def double(self): return self.n * 2
@functools.cache
def cached(n): return [n]
big = np.arange(50_000.); view = big[7:]; items = [Item(n) for n in range(2000)]; shared = items[5]
kept = cached(1); tags = {'alpha', 'beta', 'gamma'}; when = datetime.datetime(2026, 1, 2); kind = type(threading.Lock())
def closure(n=0):
    def up():
        nonlocal n
        n += 1
        return n
    return up
up = closure(); up()
flow.export('made_by', pauseflow_nb.__file__)
flow.suspend('1h')""",
    """%%step use
view[0] = 5
assert big[7] == 5 and items[5] is shared and shared.double() == 10 and type(shared) is Item
assert cached(1) is kept and tags == {'alpha', 'beta', 'gamma'} and up() == 2 and Colour.red.name == 'red'
assert when.year == 2026 and kind is type(threading.Lock())
flow.export('used_by', pauseflow_nb.__file__)""",
]


def wheel(source: Path, target: Path, version: str) -> None:
    """Build a wheel of a folder of sources, and unpack it where Python finds it."""
    pytest.importorskip("hatchling", reason="no hatchling here: the test packages bring it")
    for name, key in (("pyproject.toml", "version"), ("pauseflow_nb/__init__.py", "__version__")):
        text = (source / name).read_text()
        (source / name).write_text(re.sub(rf'^{key} = ".*"$', f'{key} = "{version}"', text, flags=re.MULTILINE))
    built = source / "pauseflow_nb" / "labextension"
    # The panel for JupyterLab is not what is tested, and building it takes node and a network.
    (built / "static").mkdir(parents=True, exist_ok=True)
    (built / "static" / "remoteEntry.js").write_text("")
    (built / "package.json").write_text(json.dumps({"jupyterlab": {"_build": {"load": "static/remoteEntry.js"}}}))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        str(source / "dist"),
    ]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (made,) = (source / "dist").glob(f"pauseflow_nb-{version}-*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        str(target),
    ]
    subprocess.run([*install, str(made)], check=True, capture_output=True)


def last_commit(target: Path, commit: str = "HEAD") -> None:
    """Copy the files of a commit."""
    if shutil.which("git") is None:
        pytest.skip("no git here, which knows the last commit")
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip(f"not a clone, or not a whole one: git does not know the files of {commit}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(target, filter="data")


def as_it_is_now(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run(folder: Path, data: Path, *command: str) -> dict[str, object]:
    """Run `pauseflow` of the wheel that was unpacked into a folder; returns what it printed."""
    program = "from pauseflow_nb.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(folder), "PAUSEFLOW_DATA_DIR": str(data)}
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--json"],
        cwd=data, env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode in {0, 75}, done.stderr + done.stdout
    printed: dict[str, object] = json.loads(done.stdout)
    return printed


def test_a_wheel_of_this_commit_suspends_and_the_next_one_resumes(tmp_path: Path) -> None:
    sources, wheels, data = tmp_path / "sources", tmp_path / "wheels", tmp_path / "data"
    data.mkdir()
    for name, take, version in (("first", last_commit, "0.1.1"), ("next", as_it_is_now, "0.1.2")):
        take(sources / name)
        wheel(sources / name, wheels / name, version)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbformat.write(notebook, data / "in.ipynb")

    suspended = run(wheels / "first", data, "run", "in.ipynb", "out.ipynb", "--until-pause")
    ended = run(wheels / "next", data, "resume", str(suspended["id"]), "--data", "1", "--wait")

    assert suspended["state"] == "suspended"
    assert ended["state"] == "completed", ended
    steps = ended["steps"]
    assert isinstance(steps, dict)
    assert str(wheels / "first") in steps["make"]["exports"]["made_by"]
    assert str(wheels / "next") in steps["use"]["exports"]["used_by"]
    made_by = [json.loads(path.read_text()).get("made_by") for path in data.rglob("*.json") if "snapshots" in str(path)]
    assert {made["pauseflow_nb"] for made in made_by if made} == {"0.1.1", "0.1.2"}
