"""Remove files that no snapshot needs."""

import re
import time
from collections.abc import Iterable

from pauseflow_nb.kernel.snapshot.storage.folder import open_folder
from pauseflow_nb.kernel.snapshot.storage.local_cache import PART
from pauseflow_nb.kernel.snapshot.storage.manifest import Manifest

#: Matches the names of our files; others in the folder are never removed.
_OURS = re.compile(r"\d{20}-\d+-[0-9a-f]{8}\.(pack|json)(\.part)?")
#: A more recent save may still be running, or may not be in `live` yet.
_GRACE_SECONDS = 3600.0


def sweep(folder: str, live: Iterable[str], *, grace_seconds: float = _GRACE_SECONDS) -> int:
    """Remove manifests, packs and unfinished files that no live snapshot needs.

    Args:
        folder: Local path or fsspec URL of an execution's snapshots.
        live: Names of the manifests to keep, with everything they use.
        grace_seconds: Files newer than this are kept, and so is everything that such a new manifest uses.

    Returns:
        The number of removed files.

    Raises:
        FileNotFoundError: If a live manifest is missing; nothing was removed.
    """
    live = set(live)
    source = open_folder(folder)
    now = time.time()
    files = {name: changed for name, changed in source.names().items() if _OURS.fullmatch(name)}
    young = {name for name, changed in files.items() if now - changed < grace_seconds}
    manifests = {name for name in files if name.endswith(".json") and (name in live or name in young)}
    needed = set(manifests)
    for name in manifests:
        needed |= set(Manifest.from_bytes(source.read(name)).content.packs)
    missing = live - files.keys()
    if missing:
        raise FileNotFoundError(f"{', '.join(sorted(missing))}: not in {folder}, so it is not known what they need")
    doomed = [name for name in files if name not in needed and name not in young]
    for name in sorted(doomed, key=lambda name: not name.endswith((".json", PART))):
        source.remove(name)
    return len(doomed)
