"""Copy a snapshot to another execution, so that each of the two owns what it needs."""

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from pauseflow_nb.errors import SnapshotDamaged
from pauseflow_nb.kernel.snapshot.storage.folder import PART, Folder, open_folder
from pauseflow_nb.kernel.snapshot.storage.manifest import digest_manifest, read_manifest
from pauseflow_nb.private_files import create, make_folder
from pauseflow_nb.protocol import SnapshotRef

#: Copied at once, in bytes.
_PIECE = 1 << 20


def adopt(source: str, target: str, ref: SnapshotRef, *, execution: str) -> SnapshotRef:
    """Copy a snapshot, with the data that it uses, into the folder of another execution. May be called again.

    On one local disk the data is linked and takes no room: no file of a snapshot is ever changed.

    Args:
        source: Folder where the snapshot lies: local path or fsspec URL.
        target: Folder of the other execution, in the same storage.
        ref: The snapshot.
        execution: Id of the other execution.

    Raises:
        SnapshotDamaged: If something of it is missing or not what was written.
    """
    origin, copy = open_folder(source), open_folder(target)
    manifest = read_manifest(origin, ref)
    for name in manifest.content.packs:
        try:
            _copy(origin, copy, name)
        except FileNotFoundError as problem:
            raise SnapshotDamaged(ref.name, f"its data {name} is missing from {source}") from problem
    data = replace(manifest, execution=execution).to_bytes()
    if ref.name not in copy.names():
        with copy.writing(ref.name) as file:
            file.write(data)
    return SnapshotRef(ref.name, digest_manifest(data))


def _copy(origin: Folder, copy: Folder, name: str) -> None:
    if copy.remote is not None and origin.remote is not None:
        system, root = copy.remote
        system.makedirs(root, exist_ok=True)
        system.copy(f"{origin.remote[1]}/{name}", f"{root}/{name}")
        return
    make_folder(copy.local)
    place = copy.local / name
    if place.exists():
        return
    try:
        os.link(origin.local / name, place)
    except FileNotFoundError:
        raise
    except OSError:
        # A file system without links.
        _copy_file(origin.local / name, place)


def _copy_file(source: Path, place: Path) -> None:
    part = place.with_name(place.name + PART)
    try:
        # With its time: the manifest notes it, and a file of another time is read through before it is trusted.
        with source.open("rb") as reading, create(part) as writing:
            shutil.copyfileobj(reading, writing, _PIECE)
        shutil.copystat(source, part)
        part.rename(place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
