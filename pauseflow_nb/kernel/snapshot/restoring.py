"""Restore a snapshot: check it, load its frames and bind the variables, or defer large remote ones."""

import contextlib
import gc
import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pauseflow_nb.errors import SnapshotDamaged, SnapshotMismatch, StorageFull, StoreUnavailable
from pauseflow_nb.kernel.snapshot import compatibility, last_results, reconstruct
from pauseflow_nb.kernel.snapshot.deferred import Deferred, Unit, find_units, select
from pauseflow_nb.kernel.snapshot.frames import FrameLoader
from pauseflow_nb.kernel.snapshot.pickling.finalizers import quiet_finalizers
from pauseflow_nb.kernel.snapshot.pickling.gc_and_tracing import switched_off
from pauseflow_nb.kernel.snapshot.pickling.load_context import Loading, live_attribute
from pauseflow_nb.kernel.snapshot.process_state import capture
from pauseflow_nb.kernel.snapshot.process_state.process import restore_path
from pauseflow_nb.kernel.snapshot.recovery import imports, replay
from pauseflow_nb.kernel.snapshot.recovery.dependencies import parse_statements
from pauseflow_nb.kernel.snapshot.recovery.mentions import find_mentions, find_mentions_of_functions
from pauseflow_nb.kernel.snapshot.recovery.own_modules import may_loaded_read_notebook
from pauseflow_nb.kernel.snapshot.storage.fetching import Fetcher
from pauseflow_nb.kernel.snapshot.storage.folder import Folder, open_folder
from pauseflow_nb.kernel.snapshot.storage.last_snapshot import Known, remember
from pauseflow_nb.kernel.snapshot.storage.manifest import Frame, Manifest, read_manifest
from pauseflow_nb.kernel.snapshot.storage.packfile import PackReader
from pauseflow_nb.protocol import Loss, SnapshotRef, Unsaved

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Name in a loss for functions and classes that variables need and that have no name.
DEFINITIONS = "<definitions>"
DIRECTORY = "the working directory"


@dataclass(frozen=True)
class Restored:
    """The result of a restore: the bound values, and the losses."""

    values: dict[str, Any]
    #: Losses; `weigh_losses` finds the cells that need them.
    losses: list[Loss]
    #: Names that a `%%setup` cell bound last, which are not in the snapshot.
    remade: set[str]
    #: The settings; those that refer to functions and objects of the notebook were restored with the variables.
    captured: dict[str, Any] = field(repr=False, default_factory=dict)
    settings: dict[str, Any] = field(repr=False, default_factory=dict)
    #: Statements that can be replayed only after the setups have run.
    waiting: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    #: Variables that were never in the snapshot.
    unsaved: list[Unsaved] = field(default_factory=list)
    #: Variables that are restored when code mentions them.
    deferred: Deferred | None = None


def restore(
    shell: "InteractiveShell",
    folder: str,
    ref: SnapshotRef,
    *,
    force: bool = False,
    execution: str = "",
    is_checked: bool = False,
    coming: Mapping[str, str] | None = None,
) -> Restored:
    """Bind the variables of a snapshot in `shell.user_ns`.

    Everything that is unpickled is checked against its digest first. Large arrays are mapped, so they cost
    nothing until they are touched. Large data of a remote store may be fetched later: see `coming`.

    Args:
        shell: The new kernel's shell.
        folder: Where the snapshot was saved.
        ref: The result of `save`.
        force: Restore even if this kernel differs from the one that saved.
        execution: Id of the execution that the snapshot must belong to; empty: any.
        is_checked: Verify everything before it is used, also large arrays whose files seem unchanged.
        coming: Source of the cells that may still run, by index. With it, large data of a remote store is deferred:
            the caller calls `deferred.load` before code runs that mentions it, and passes `deferred` to `save`.
            None: everything is bound.

    Raises:
        SnapshotDamaged: If something is missing or changed; nothing was bound.
        StoreUnavailable: If the remote store does not answer, or refuses.
        SnapshotMismatch: If Python or packages differ in a way that matters, naming both sides.
    """
    capture.note_start(shell)
    source = open_folder(folder, is_checked=is_checked)
    with _readable(source, ref):
        source.keep_using()
        manifest = read_manifest(source, ref, execution=execution)
    restore_path(manifest.import_path, manifest.appended_path)
    differences = compatibility.find_differences(manifest.made_by)
    if differences and not force:
        raise SnapshotMismatch(ref.name, differences)
    with contextlib.ExitStack() as stack:
        packs = stack.enter_context(PackReader(source, manifest.content, ref.name))
        with switched_off(), _readable(source, ref), Loading(shell.user_ns, shell) as loading:
            is_remote = source.remote is not None
            loader = FrameLoader(manifest, packs, Fetcher(packs, source.url) if is_remote else None)
            restored = _Restore(shell, manifest, loader, loading).run(folder, coming if is_remote else None)
        if differences:
            restored.losses.append(
                Loss("", "", f"--force restored a snapshot of other versions: {'; '.join(differences)}")
            )
        if restored.deferred is not None:
            # It continues to read, and closes them.
            stack.pop_all()
        return restored


@contextlib.contextmanager
def _readable(source: Folder, ref: SnapshotRef) -> Iterator[None]:
    """Convert an error of files that exist but cannot be read to one that names the folder."""
    try:
        yield
    except (StoreUnavailable, StorageFull):
        raise
    except OSError as problem:
        raise SnapshotDamaged(ref.name, f"its files in {source.url} cannot be read: {problem}") from problem


@switched_off()
def restore_after_setups(shell: "InteractiveShell", restored: Restored, bound_by_setup: set[str]) -> list[Loss]:
    """Restore saved values that the setups have replaced, and settings that they have changed.

    Args:
        shell: The notebook's shell.
        restored: The result of `restore`.
        bound_by_setup: Names that the setups have just bound. If one of them is in the snapshot, another cell bound
            it after the setup had first run, so the saved value is newer.

    Returns:
        The losses.
    """
    if restored.deferred is not None:
        restored.deferred.settle()
    for name in bound_by_setup - restored.remade:
        if name in restored.values:
            shell.user_ns[name] = restored.values[name]
    _, losses = _replay(shell, restored.waiting, set(), restored.unsaved)
    notes = capture.restore_after_setups(shell, restored.captured, restored.settings)
    known = {loss.reason for loss in restored.losses}
    return losses + [Loss("", "", note) for note in notes if note not in known]


def _replay(
    shell: Any, replays: dict[str, list[tuple[int, str]]], missing: set[str], unsaved: list[Unsaved]
) -> tuple[dict[str, list[tuple[int, str]]], list[Loss]]:
    """Make variables again; return those that must wait for `missing` names, and the losses."""
    # Names from the same statements are made by running these once, so that their values belong together.
    together: dict[tuple[tuple[int, str], ...], list[str]] = {}
    types = {each.name: each.type_name for each in unsaved}
    waiting, failed = {}, []
    for name, statements in replays.items():
        reads = {read for _, source in statements for s in parse_statements(source) for read in s.reads}
        if reads & missing:
            waiting[name] = statements
        else:
            together.setdefault(tuple((cell, source) for cell, source in statements), []).append(name)
    for key, names in sorted(together.items(), key=lambda item: len(item[0])):
        try:
            shell.user_ns.update(replay.run(list(key), names, shell.user_ns))
        except Exception as problem:  # noqa: BLE001 - the user's code
            reason = f"cell {key[-1][0] + 1} could not make it again: {_describe_error(problem)}"
            failed += [Loss(name, types.get(name, ""), reason) for name in names]
    return waiting, failed


class _Restore:
    """The state of one restore."""

    def __init__(self, shell: Any, manifest: Manifest, loader: FrameLoader, loading: Loading) -> None:
        self._shell = shell
        self._manifest = manifest
        self._loader = loader
        self._loading = loading
        #: Frames that may be deferred.
        self._units: list[Unit] = []
        #: Modules that were loaded before the notebook's.
        self._modules = set(sys.modules)

    def run(self, folder: str, coming: Mapping[str, str] | None) -> Restored:
        manifest = self._manifest
        if coming is not None:
            self._units = find_units(manifest)
            if self._units:
                self._loader.require_packs()
            self._take(self._find_mentions_of_replays())
        apart = {id(frame) for unit in self._units for frame in unit.frames}
        frames = [frame for frame in manifest.frames if id(frame) not in apart]
        # Everything is read and checked before the first unpickling, so damage is found before anything is bound.
        around = self._loader.read(frames, manifest.surroundings)
        captured = reconstruct.Unpickler(io.BytesIO(around)).load()
        notes = capture.restore_settings(self._shell, captured)
        unsaved = [Unsaved.from_dict(each) for each in manifest.unsaved]
        capture.restore_sources(manifest.sources)
        values, losses = self._bind_references()
        self._shell.user_ns.update(values)
        with quiet_finalizers():
            loaded, failed_frames = self._load_all(frames)
            if failed_frames:
                # Reference cycles are collected now, and not in one of the notebook's cells.
                gc.collect(0)
        values.update(loaded)
        last_results.restore_results(self._shell, values)
        settings = capture.pop_settings(values, self._shell.user_ns)
        for frame, problem in failed_frames:
            names = frame.names or [DEFINITIONS]
            losses += [self._loss(name, problem) for name in names if not capture.is_setting(name)]
            lost = [capture.name_of_setting(name) for name in names if capture.is_setting(name)]
            notes += [f"{name}: {type(problem).__name__}: {problem}" for name in lost]
        notes += capture.restore_settings(self._shell, captured, settings)
        notes += capture.restore_module_values(self._shell, captured)
        capture.restore_figure(captured)
        notes += self._loading.fill_caches()
        remember(folder, Known(manifest.content, mapped=self._loader.mapped))
        waiting, failed = _replay(self._shell, manifest.replay, set(manifest.remade), unsaved)
        capture.restore_random(self._shell, captured)
        remade = set(manifest.remade)
        losses += failed + _directory_lost(captured) + [Loss("", "", note) for note in notes]
        self._loader.forget()
        return Restored(values, losses, remade, captured, settings, waiting, unsaved, self._defer(values, coming or {}))

    def _defer(self, values: dict[str, Any], coming: Mapping[str, str]) -> Deferred | None:
        if not self._units:
            return None
        deferred = Deferred(self._shell, self._manifest, self._units, self._loader, values)
        deferred.begin(coming)
        return deferred

    def _take(self, names: set[str] | None) -> list[Frame]:
        """Stop deferring frames with one of the names, or all with None; return these frames."""
        units = select(self._units, names)
        self._units = [unit for unit in self._units if unit not in units]
        return [frame for unit in units for frame in unit.frames]

    def _find_mentions_of_replays(self) -> set[str] | None:
        found: set[str] = set()
        for statements in self._manifest.replay.values():
            for _, source in statements:
                mentions = find_mentions(source, self._shell.user_ns)
                if mentions is None:
                    return None
                found |= mentions
        return found

    def _load_all(self, frames: list[Frame]) -> tuple[dict[str, Any], list[tuple[Frame, Exception]]]:
        """Load and bind frames, and deferred variables that the notebook's functions need."""
        if not self._units:
            return self._load_each(frames)
        first = [frame for frame in frames if frame.has_definitions]
        values, failed = self._load_each(first)
        needed = None if failed else find_mentions_of_functions(self._shell.user_ns)
        rest = [frame for frame in frames if not frame.has_definitions]
        frames = [*(frame for frame, _ in failed), *rest, *self._take_read(needed)]
        loaded, failed = self._load_each(frames)
        if failed and self._units:
            # Loading runs the code of any class, which may need something that does not exist here.
            again, failed = self._load_each([*(frame for frame, _ in failed), *self._take_read(None)])
            loaded |= again
        if self._units and may_loaded_read_notebook(self._modules):
            late, lost = self._load_each(self._take_read(None))
            loaded, failed = loaded | late, failed + lost
        return values | loaded, failed

    def _take_read(self, names: set[str] | None) -> list[Frame]:
        frames = self._take(names)
        self._loader.read(frames)
        return frames

    def _load_each(self, frames: list[Frame]) -> tuple[dict[str, Any], list[tuple[Frame, Exception]]]:
        """Load and bind frames; a frame that needs a variable of a later frame is loaded again after it."""
        values: dict[str, Any] = {}
        while True:
            failed = []
            for frame in frames:
                try:
                    payload = self._loader.load(frame)
                except Exception as problem:  # noqa: BLE001 - loading runs the code of any class
                    # Without its stack frames, which keep incomplete objects alive.
                    failed.append((frame, problem.with_traceback(None)))
                else:
                    self._loading.definitions.update(payload.get("definitions", {}))
                    values.update(payload["values"])
                    self._shell.user_ns.update(payload["values"])
            if not failed or len(failed) == len(frames):
                return values, failed
            frames = [frame for frame, _ in failed]

    def _bind_references(self) -> tuple[dict[str, Any], list[Loss]]:
        values, losses = {}, []
        for name, (module, attribute) in self._manifest.references.items():
            try:
                values[name] = live_attribute(module, attribute)
            except (ImportError, AttributeError) as problem:
                losses.append(self._loss(name, problem))
        imports.remember(self._shell, {n: (m, a) for n, (m, a) in self._manifest.references.items()})
        return values, losses

    def _loss(self, name: str, problem: Exception) -> Loss:
        described = self._manifest.variables.get(name)
        return Loss(name, described.type_name if described else "", _describe_error(problem))


def _directory_lost(captured: dict[str, Any]) -> list[Loss]:
    directory = captured.get("directory")
    # Compared as files: the path may contain links.
    is_there = directory is None or (Path(directory).is_dir() and Path(directory).samefile("."))
    return [] if is_there else [Loss(DIRECTORY, "", f"{directory} does not exist")]


def _describe_error(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"
