"""Copy a snapshot to another execution, so that both own their data."""

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from pauseflow_nb.errors import SnapshotDamaged
from pauseflow_nb.kernel.snapshot.storage.folder import Folder, open_folder
from pauseflow_nb.kernel.snapshot.storage.local_cache import PART
from pauseflow_nb.kernel.snapshot.storage.manifest import digest_manifest, read_manifest
from pauseflow_nb.private_files import create, make_folder
from pauseflow_nb.protocol import SnapshotRef

#: Number of bytes that are copied at a time.
_PIECE = 1 << 20


def adopt(source: str, target: str, ref: SnapshotRef, *, execution: str) -> SnapshotRef:
    """Copy a snapshot and its data into the folder of another execution; can be repeated.

    On one local disk, the data is linked and takes no space: files of snapshots never change.

    Args:
        source: Folder of the snapshot: local path or fsspec URL.
        target: Folder of the other execution, in the same storage.
        ref: The snapshot.
        execution: Id of the other execution.

    Raises:
        SnapshotDamaged: If a part of it is missing or changed.
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
        # The file system has no links.
        _copy_file(origin.local / name, place)


def _copy_file(source: Path, place: Path) -> None:
    part = place.with_name(place.name + PART)
    try:
        # With its time, which the manifest records: a file with another time is verified before it is trusted.
        with source.open("rb") as reading, create(part) as writing:
            shutil.copyfileobj(reading, writing, _PIECE)
        shutil.copystat(source, part)
        part.rename(place)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
