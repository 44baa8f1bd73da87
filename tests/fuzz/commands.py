"""Targets behind the command line: arguments, what is printed, and what it leaves in the store."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner
from fuzz.target import Check, Target
from fuzz.values import json_texts, names, texts
from hypothesis import strategies as st
from server.conftest import Stage

from pauseflow_nb.cli import main
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

__all__ = ["TARGETS"]

#: What a terminal obeys: escape sequences, and marks that turn the direction of writing.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

#: Commands that end by themselves and start no process.
_COMMANDS = ("list", "show", "resume", "cancel", "suspend", "retry", "fork", "outputs", "inspect", "gc", "run")
_WORDS = (
    "--json", "--step", "--data", "--history", "--state", "--limit", "--offset", "--text", "--from", "--with", "--force", "--wait", "--help",
    "--older-than", "--dry-run", "--db", "--storage", "--data-dir", "-p", "-r", "-y", "-b", "-f", "-k", "--kernel", "--cwd", "-", "--", "ID", "ID.x", "x y",
    "suspended", "approve", "7d", "1", "-1", "in.ipynb", "missing.ipynb", "/", "", "--x", "{}", "[", "null", "NaN",
)  # fmt: skip
_arguments = st.lists(
    st.one_of(st.sampled_from(_WORDS), st.sampled_from(_WORDS), texts, json_texts.map(lambda text: text[:2000])),
    max_size=5,
)
_calls = st.tuples(
    st.one_of(st.sampled_from(_COMMANDS), texts),
    _arguments.map(lambda words: [word.replace("\0", "") for word in words]),
    st.fixed_dictionaries({"title": texts, "message": texts, "comment": texts, "name": names}),
)


@contextmanager
def _store(folder: Path) -> Iterator[Check]:
    """Run commands in this process, in an empty folder, on a store with an execution that waits."""
    queue = Queue.open(Settings.load(flags={"data_dir": folder / "data"}, environment={}))
    stage, runner = Stage(queue), CliRunner()
    (folder / "work").mkdir()
    before = Path.cwd()

    def check(given: tuple[str, list[str], dict[str, str]]) -> None:
        command, words, texts = given
        execution = stage.suspended(title=texts["title"], message=texts["message"])
        queue.resume(execution, data={"comment": texts["comment"]}, by=f"user:{texts['name']}")
        second = stage.suspended(title=texts["title"], message=texts["message"], data={"x": texts["comment"]})
        arguments = [word.replace("ID", second) for word in words]
        try:
            _call(runner, folder, [command, *arguments])
            shown = _call(runner, folder, ["show", second, "--data-dir", str(folder / "data")])
            assert not _OBEYED.search(shown), f"printed {_OBEYED.findall(shown)!r}"
            _call(runner, folder, ["list", "--data-dir", str(folder / "data")])
        finally:
            for each in (execution, second):
                queue.cancel(each, by="user:fuzz")
                Clock(queue).sweep(each)

    os.chdir(folder / "work")
    try:
        yield check
    finally:
        os.chdir(before)
        queue.close()


def _call(runner: CliRunner, folder: Path, arguments: list[str]) -> str:
    environment = {"PAUSEFLOW_DATA_DIR": str(folder / "data"), "PAUSEFLOW_PORT": "0"}
    # Nothing may run a notebook here, or listen: that takes seconds.
    if arguments[0] in ("serve", "worker", "open", "doctor"):
        return ""
    if arguments[0] == "run":
        arguments = [*arguments, "--detach"]
    result = runner.invoke(main, arguments, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3, 75, 130), result.exit_code
    if result.exit_code == 1:
        assert result.stderr.startswith("pauseflow: ") or arguments[0] == "inspect", result.stderr
    if "--json" in arguments and "--help" not in arguments and "--" not in arguments and result.stdout.strip():
        json.loads(result.stdout)
    return result.stdout


TARGETS = [Target("commands", _calls, _store, share=6, slice=10)]
