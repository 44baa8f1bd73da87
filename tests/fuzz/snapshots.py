"""Targets that read what another process stored: snapshots, and the messages of a kernel."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.stage import Stage, notebook
from fuzz.parsers import require_storable
from fuzz.target import Check, Target
from fuzz.values import json_texts, json_values, text_damaged
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from shells import new_shell
from traitlets.config import Config

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import SnapshotDamaged, SnapshotMismatch
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.kernel.snapshot.storage.manifest import digest_manifest
from pauseflow_nb.protocol import Briefing, Outcome, SnapshotRef
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.executions import FINAL

__all__ = ["TARGETS"]

_CELL = """
import numpy
text, rows, shared = "x" * 400, list(range(500)), [1]
again, big = shared, numpy.arange(400_000)
def double(x): return 2 * x
"""

#: Set by a pickle that was damaged on purpose, if it is ever loaded.
EXECUTED: list[str] = []


def executed() -> None:
    """Note that bytes ran which nobody should have loaded."""
    EXECUTED.append("a pickle of somebody else was loaded")


class _Bomb:
    def __reduce__(self) -> Any:
        return executed, ()


_BOMB = pickle.dumps(_Bomb())

# Which file, from which point of it in thousandths, and how: the size is known when it is tried.
_damages = st.tuples(
    st.sampled_from(["manifest", "pack", "packs gone", "manifest gone"]),
    st.integers(0, 1000),
    st.sampled_from(["cut", "flip", "insert", "bomb", "zero", "swap"]),
    st.integers(1, 255),
)


def _damaged(data: bytes, at: int, how: str, by: int) -> bytes:
    place = min(len(data) - 1, len(data) * at // 1000)
    if how == "cut":
        return data[:place]
    if how == "insert":
        return data[:place] + bytes([by]) + data[place:]
    if how == "swap":
        return data[place:] + data[:place]
    new = {"flip": bytes([data[place] ^ by]), "bomb": _BOMB, "zero": bytes(by)}[how]
    return data[:place] + new + data[place + len(new) :]


def _shell() -> Any:
    config = Config()
    config.HistoryManager.enabled = False
    return new_shell(config)


@contextmanager
def _stored(folder: Path) -> Iterator[Check]:
    shell = _shell()
    snapshot.note_start(shell)
    shell.run_cell(_CELL)
    saved = snapshot.save(shell, str(folder / "good"))
    good = {path.name: path.read_bytes() for path in (folder / "good").iterdir()}
    here = folder / "here"
    here.mkdir()

    def check(given: tuple[str, int, str, int]) -> None:
        what, at, how, by = given
        files = dict(good)
        for name in good:
            is_manifest = name == saved.ref.name
            if what.endswith(" gone"):
                if is_manifest == what.startswith("manifest"):
                    del files[name]
            elif is_manifest == (what == "manifest"):
                files[name] = _damaged(files[name], at, how, by)
        for name in {path.name for path in here.iterdir()} - set(files):
            (here / name).unlink()
        for name, data in files.items():
            (here / name).write_bytes(data)
        new = _shell()
        try:
            restored = snapshot.restore(new, str(here), saved.ref)
        except (SnapshotDamaged, SnapshotMismatch) as problem:
            assert str(problem)
            assert "rows" not in new.user_ns
            assert not EXECUTED
            return
        # The damage hit bytes that stand for nothing: then all of it is back as it was.
        assert restored.losses == []
        assert new.user_ns["rows"] == list(range(500))
        assert int(new.user_ns["big"].sum()) == 79_999_800_000
        assert not EXECUTED

    yield check


@contextmanager
def _manifests(folder: Path) -> Iterator[Check]:
    """Read manifests whose digest is right: what else could be wrong with them is refused as well."""
    shell = _shell()
    snapshot.note_start(shell)
    shell.run_cell("rows = [1, 2]")
    saved = snapshot.save(shell, str(folder))
    good = json.loads((folder / saved.ref.name).read_text())
    new = _shell()

    def check(given: tuple[str, list[tuple[str, Any]], bytes]) -> None:
        how, changes, data = given
        if how == "changed":
            changed = {**good}
            for name, value in changes:
                key = name if name not in ("a", "b") else sorted(good)[len(name) % len(good)]
                changed[key] = value
            data = json.dumps(changed).encode()
        (folder / "fuzzed").write_bytes(data)
        from pauseflow_nb.kernel.snapshot.storage.folder import open_folder
        from pauseflow_nb.kernel.snapshot.storage.manifest import read_manifest

        try:
            read_manifest(open_folder(str(folder)), SnapshotRef("fuzzed", digest_manifest(data)))
        except (SnapshotDamaged, SnapshotMismatch) as problem:
            assert str(problem)
        # Another digest than the one that was signed: nothing of it is looked at.
        try:
            snapshot.restore(new, str(folder), SnapshotRef("fuzzed", "0" * 64))
        except (SnapshotDamaged, SnapshotMismatch):
            return
        raise AssertionError("a manifest with another digest was read")

    yield check


_MANIFEST_KEYS = st.sampled_from(
    [
        "schema",
        "execution",
        "made_by",
        "remade",
        "regions",
        "frames",
        "surroundings",
        "replay",
        "packs",
        "content",
        "variables",
    ]
)
_manifest_inputs = st.tuples(
    st.sampled_from(["changed", "changed", "other"]),
    st.lists(st.tuples(_MANIFEST_KEYS, json_values), max_size=3),
    st.one_of(json_texts.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=30)),
)

# What a kernel answers

_ASK = {
    "kind": "suspend", "seconds": 3600.0, "on_timeout": "cancel", "then": "continue", "title": "T", "message": "M", "data": {"a": 1},
    "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}, "approvals": 2, "approvers": ["ann"], "self_approval": True,
    "max_retries": 3, "context": [1], "remind": 60.0, "messages": [], "children": [], "default": None,
}  # fmt: skip
_OUTCOME = {
    "kind": "suspended", "step": "ask", "run": 1, "ordinal": 0, "exports": {"$return_value": 1, "x": {"y": [1]}}, "notes": ["n"],
    "suspension": _ASK, "exit_reason": None, "snapshot": {"name": "manifest.json", "digest": "d"},
    "unsaved": [{"name": "c", "type_name": "T", "reason": "r", "fate": "left out", "cell": 0}], "failure": None,
}  # fmt: skip
_WRONG = st.one_of(
    json_values,
    st.sampled_from([10**400, -1, 1e308, 0, "", "suspended", "failed", "exited", "finished", [[]], {"a": {}}]),
)


@st.composite
def _outcomes(draw: DrawFn) -> str:
    """Write an outcome as no kernel of ours would: with other types, names, numbers, and without what is needed."""
    outcome = json.loads(json.dumps(_OUTCOME))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(["outcome", "suspension", "snapshot"]))
        target = outcome if place == "outcome" else outcome.get(place)
        if not isinstance(target, dict) or not target:
            continue
        key = draw(st.sampled_from(sorted(target)))
        if draw(st.booleans()):
            target[key] = draw(_WRONG)
        else:
            del target[key]
    return json.dumps(outcome)


@contextmanager
def _kernel(folder: Path) -> Iterator[Check]:
    """Let a made-up kernel end a step of a real execution: whatever it says, the execution ends or waits."""
    queue = Queue.open(Settings.load(flags={"data_dir": folder / "data"}, environment={}))
    document = notebook("%%step ask", "1")

    def check(text: str) -> None:
        def answer(_briefing: Briefing) -> Outcome:
            return Outcome.from_json(text)

        stage = Stage(queue)
        stage.script.steps["ask"] = answer
        execution = stage.start("%%step ask", "1", document=document)
        try:
            stage.play(execution)
            view = queue.view(execution, history=True)
            require_storable(view)
            assert view["state"] in {*FINAL, "suspended", "waiting"}, f"it is left {view['state']}"
            require_storable(queue.list(limit=1000))
            queue.document(execution)
        finally:
            queue.cancel(execution, by="user:fuzz")
            Clock(queue).sweep(execution)

    try:
        yield check
    finally:
        queue.close()


TARGETS = [
    Target("snapshots", _damages, _stored, share=6, slice=15),
    Target("manifests", _manifest_inputs, _manifests, share=20),
    Target("outcomes", st.one_of(_outcomes(), text_damaged(_outcomes()), json_texts), _kernel, share=8, slice=15),
]
