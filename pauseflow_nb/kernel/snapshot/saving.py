"""Save a snapshot: write frames and memory regions into a pack, then the manifest that names them."""

import contextlib
import errno
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pauseflow_nb.errors import SnapshotError, StorageFull, StoreUnavailable, Unsaveable
from pauseflow_nb.kernel.snapshot import compatibility, last_results
from pauseflow_nb.kernel.snapshot.deferred import Deferred
from pauseflow_nb.kernel.snapshot.pickling.batches import is_data
from pauseflow_nb.kernel.snapshot.pickling.gc_and_tracing import switched_off
from pauseflow_nb.kernel.snapshot.pickling.pickled import Dump
from pauseflow_nb.kernel.snapshot.pickling.secrets_in_pickles import refuse_secrets
from pauseflow_nb.kernel.snapshot.pickling.serialize import Dumped, dump_namespace, type_name
from pauseflow_nb.kernel.snapshot.process_state import capture
from pauseflow_nb.kernel.snapshot.process_state.process import added_path, appended_path
from pauseflow_nb.kernel.snapshot.recovery import imports
from pauseflow_nb.kernel.snapshot.recovery.decide import Decided, decide
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, StoredPiece
from pauseflow_nb.kernel.snapshot.storage.folder import Folder, open_folder
from pauseflow_nb.kernel.snapshot.storage.last_snapshot import Known, find_known, remember
from pauseflow_nb.kernel.snapshot.storage.manifest import Frame, Manifest, StoredRegion, Variable, digest_manifest
from pauseflow_nb.kernel.snapshot.storage.packfile import CHUNK, PackWriter, make_name, strong_digest
from pauseflow_nb.kernel.snapshot.storage.regions import Region, lay_out
from pauseflow_nb.kernel.snapshot.user_names import find_user_names
from pauseflow_nb.protocol import SnapshotRef, Unsaved

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Saved:
    """The result of a save: the snapshot, and the variables that are not in it."""

    ref: SnapshotRef
    unsaved: list[Unsaved]
    #: Number of new bytes.
    written: int
    #: Sentences for the user, such as why everything counts as needed.
    notes: list[str] = field(default_factory=list)


@switched_off()
def save(
    shell: "InteractiveShell",
    folder: str,
    *,
    remade: Iterable[str] = (),
    coming: Mapping[str, str] | None = None,
    passed: Mapping[str, str] = _NOTHING,
    strict: bool = False,
    execution: str = "",
    is_checked: bool = False,
    deferred: Deferred | None = None,
) -> Saved:
    """Write the user's variables as a new snapshot; earlier snapshots do not change.

    Args:
        shell: The notebook's shell.
        folder: Local path or fsspec URL; the snapshots of one execution share data there.
        remade: Names that a `%%setup` cell bound last; these cells run again, so they are not saved.
        coming: Source of the cells that may still run, by index: what cannot be saved matters only if they need
            it. None: unknown, so that everything may be needed.
        passed: Source of the plain cells that ran: what cannot be saved may be made again by their statements.
        strict: Refuse to save when a variable would be lost.
        execution: Id of the execution, which `restore` can ask for.
        is_checked: Name raw memory by cryptographic digests, as a storage that is not local has them anyhow.
        deferred: Variables that were not brought yet, of a snapshot in the same folder: they are saved by reference.

    Raises:
        Unsaveable: With `strict`, for a variable that is needed and cannot be saved or made again.
        StorageFull: If the disk is full. Earlier snapshots are not affected.
        SnapshotError: If the folder cannot be written for another reason.
    """
    remade = set(remade)
    capture.note_start(shell)
    with _storage_errors(folder):
        target = open_folder(folder, is_checked=is_checked)
        target.keep_using()
        known = find_known(folder)
        # Until this save has succeeded, nothing is known about the memory.
        remember(folder, Known(known.content))
        with PackWriter(target, known.content) as pack:
            by_reference = None if deferred is None else deferred.keep(pack)
            imported = imports.find(shell, [name for name in find_user_names(shell) if name not in remade])
            names = [name for name in find_user_names(shell) if name not in remade and name not in imported]
            around = capture.capture(shell)
            with (
                capture.among_variables(shell.user_ns, around) as settings,
                last_results.among_variables(shell, coming, names) as results,
            ):
                names += results
                dumped = dump_namespace(shell.user_ns, [*names, *settings], shell, partial(_add_early, pack))
                notes = around.notes + _take_out_settings(dumped)
            saved = {name for name in (*names, *imported) if name not in dumped.refused}
            saved |= set() if by_reference is None else by_reference.variables.keys()
            decided = decide(shell, dumped.refused, coming=coming, passed=passed, saved=saved, remade=remade)
            if strict:
                _refuse_losses(decided)
            regions, frames, seconds = _write_frames(dumped, pack, known)
            around_pieces = [_add_piece(pack, pickle.dumps(around.plain, 5))]
        manifest = Manifest(
            execution=execution,
            made_by=compatibility.describe_maker(dumped.environment.modules),
            import_path=added_path(),
            appended_path=appended_path(),
            remade=sorted(remade),
            regions=[stored for stored, _ in regions],
            frames=frames,
            surroundings=around_pieces,
            references={name: list(place) for name, place in imported.items()},
            replay=decided.replay,
            unsaved=[vars(unsaved) for unsaved in decided.unsaved],
            sources=capture.find_cell_sources(dumped.environment.definitions.by_key),
            variables=_describe(shell, dumped, frames, seconds),
            content=pack.content,
        )
        if by_reference is not None:
            manifest = by_reference.add_to(manifest)
        ref, size = _write_manifest(target, manifest)
    saved_regions = {(region.low, region.high): stored.chunks for stored, region in regions}
    remember(folder, Known(pack.content, saved_regions, known.mapped))
    notes = [*decided.notes, *dumped.environment.left_out, *notes]
    return Saved(ref, decided.unsaved, pack.written + size, notes)


def _take_out_settings(dumped: Dumped) -> list[str]:
    """Describe settings that cannot be saved, which never stop a save, because no cell needs them by name."""
    notes = []
    for name in [name for name in dumped.refused if capture.is_setting(name)]:
        known = capture.name_of_setting(name)
        # Places begin with its name among the variables. The value of some settings is the first item of a tuple.
        reason = dumped.refused.pop(name).reason.replace(f"{name}[0]", "it").replace(name, "it")
        notes.append(f"not saved: {known}, {reason}; set it in a `%%setup` cell, which runs again in every new kernel")
    return notes


def _refuse_losses(decided: Decided) -> None:
    for unsaved in decided.unsaved:
        if unsaved.fate == "lost":
            reason = "; ".join([unsaved.reason, *decided.notes])
            raise Unsaveable(unsaved.name, unsaved.type_name, reason, unsaved.cell)


def _write_frames(
    dumped: Dumped, pack: PackWriter, known: Known
) -> tuple[list[tuple[StoredRegion, Region]], list[Frame], list[float]]:
    """Write everything; return the regions, the frames, and the seconds for writing each frame."""
    regions, places = lay_out([buffer for dump in dumped.frames for buffer in dump.buffers])
    stored, region_seconds = [], []
    room = memoryview(bytearray(CHUNK if regions else 0))
    for region in regions:
        began = time.perf_counter()
        stored.append((_write_region(region, pack, known, room), region))
        region_seconds.append(time.perf_counter() - began)
    frames, seconds, at = [], [], 0
    for dump in dumped.frames:
        began = time.perf_counter()
        buffers = places[at : at + len(dump.buffers)]
        at += len(buffers)
        frames.append(Frame(dump.names, _write_pieces(dump, pack), buffers, dump.has_definitions, is_data(dump)))
        writing = time.perf_counter() - began + sum(region_seconds[number] for number in {b.region for b in buffers})
        seconds.append(writing)
    return stored, frames, seconds


def _write_pieces(dump: Dump, pack: PackWriter) -> list[str]:
    return [_add_piece(pack, piece) for piece in dump.pieces]


def _add_piece(pack: PackWriter, piece: Bytes | StoredPiece) -> str:
    if isinstance(piece, StoredPiece):
        pack.keep(piece.digest)
        return piece.digest
    digest = strong_digest(piece)
    pack.add(piece, digest)
    return digest


def _add_early(pack: PackWriter, piece: Bytes) -> str:
    refuse_secrets([piece])
    digest = strong_digest(piece)
    pack.add_early(piece, digest)
    return digest


def _write_region(region: Region, pack: PackWriter, known: Known, room: memoryview) -> StoredRegion:
    size = region.high - region.low
    untouched = known.find_untouched_chunks(region)
    chunks = []
    for number, start in enumerate(range(0, size, CHUNK)):
        digest = untouched.get(number)
        if digest is None or not pack.keep(digest):
            # A copy, so that the stored bytes match the digest even if a thread of the user writes to the memory
            # meanwhile. It costs nothing, because digest and write then find it in the processor's cache.
            chunk = room[: min(CHUNK, size - start)]
            region.copy(start, chunk)
            digest = pack.memory_digest(chunk)
            pack.add(chunk, digest, is_aligned=size >= CHUNK)
        chunks.append(digest)
    return StoredRegion(size, chunks)


def _describe(
    shell: "InteractiveShell", dumped: Dumped, frames: list[Frame], seconds: list[float]
) -> dict[str, Variable]:
    described = {}
    for frame, writing in zip(frames, seconds, strict=True):
        for name in frame.names:
            if capture.is_setting(name):
                continue
            size, pickling = dumped.costs[name]
            described[name] = Variable(type_name(shell.user_ns[name]), size, pickling + writing / len(frame.names))
    return described


def _write_manifest(target: Folder, manifest: Manifest) -> tuple[SnapshotRef, int]:
    data = manifest.to_bytes()
    name = make_name(".json")
    with target.writing(name) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    return SnapshotRef(name, digest_manifest(data)), len(data)


@contextlib.contextmanager
def _storage_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, StorageFull):
        raise
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(folder) from problem
        if problem.errno == errno.EFBIG:
            why = "a file would be larger than this process may write; raise the limit (`ulimit -f`)"
            raise SnapshotError(f"snapshots cannot be written to {folder}: {why}") from problem
        raise SnapshotError(f"snapshots cannot be written to {folder}: {problem}") from problem
