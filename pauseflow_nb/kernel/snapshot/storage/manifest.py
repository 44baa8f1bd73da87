"""Read and write the manifest: a JSON file with a snapshot's content, the places of its bytes and its origin.

Its own digest is in the `SnapshotRef`, which the worker signs. Everything else is checked against
the manifest.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from json import JSONDecoder, JSONEncoder
from typing import Any

from pauseflow_nb.errors import SnapshotDamaged, SnapshotMismatch
from pauseflow_nb.kernel.snapshot.storage.folder import Folder
from pauseflow_nb.kernel.snapshot.storage.packfile import Content, Location
from pauseflow_nb.kernel.snapshot.storage.regions import BufferPlace
from pauseflow_nb.protocol import SnapshotRef

#: Incremented when an older reader could misunderstand a newer manifest.
SCHEMA = 3
#: The schemas that this reader understands; in 2, pickles name other modules, and names are not versioned.
_READABLE = frozenset({2, SCHEMA})


#: Not `json.dumps`, which cells may have replaced.
_ENCODER = JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class StoredRegion:
    """A piece of raw memory: its chunks in order."""

    size: int
    chunks: list[str]


@dataclass(frozen=True)
class Frame:
    """A pickle of variables that share objects, of the notebook's definitions, or of both."""

    names: list[str]
    pieces: list[str]
    buffers: list[BufferPlace]
    has_definitions: bool = False
    #: Whether it is pure data, so that it may be loaded at any time, or never.
    is_data: bool = False

    @property
    def regions(self) -> set[int]:
        """Return the numbers of the regions that it uses."""
        return {place.region for place in self.buffers}


@dataclass(frozen=True)
class Variable:
    """A saved variable, described without loading it."""

    type_name: str
    #: Its bytes in the store, including shared ones.
    size: int
    #: Seconds to pickle it, and to write or recognise it.
    seconds: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """The description of a snapshot: everything except the stored bytes."""

    execution: str
    made_by: dict[str, Any]
    remade: list[str]
    regions: list[StoredRegion]
    frames: list[Frame]
    #: Pieces of the pickle of the settings: random generators, working directory, …
    surroundings: list[str]
    #: Name of a variable that is restored by an import → module and attribute.
    references: dict[str, list[str]]
    #: Name that cannot be saved → statements to replay, as cell index and source, in order.
    replay: dict[str, list[tuple[int, str]]]
    unsaved: list[dict[str, Any]]
    #: Source of the cells with definitions, for tracebacks and `inspect.getsource`.
    sources: dict[str, str]
    variables: dict[str, Variable] = field(default_factory=dict)
    #: Entries that cells added to `sys.path`, which are needed to find out which versions are installed.
    import_path: list[str] = field(default_factory=list)
    #: Those of them that stand at its end.
    appended_path: list[str] = field(default_factory=list)
    content: Content = field(default_factory=Content)

    def to_bytes(self) -> bytes:
        """Write as JSON."""
        plain = {
            key: value for key, value in vars(self).items() if key not in {"content", "regions", "frames", "variables"}
        }
        packs = list(self.content.packs)
        number = {name: index for index, name in enumerate(packs)}
        return _ENCODER.encode(
            {
                "schema": SCHEMA,
                **plain,
                "regions": [[region.size, region.chunks] for region in self.regions],
                "frames": [_frame_to_json(frame) for frame in self.frames],
                "data": [number for number, frame in enumerate(self.frames) if frame.is_data],
                "variables": {n: [v.type_name, v.size, round(v.seconds, 9)] for n, v in self.variables.items()},
                "packs": [[name, *self.content.packs[name]] for name in packs],
                "content": {d: [number[w.pack], w.offset, w.size] for d, w in self.content.locations.items()},
            }
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Read what `to_bytes` wrote."""
        plain = _read(data)
        packs = plain.pop("packs")
        locations = {d: Location(packs[n][0], offset, size) for d, (n, offset, size) in plain.pop("content").items()}
        return cls(
            regions=[StoredRegion(size, chunks) for size, chunks in plain.pop("regions")],
            frames=_frames_from_json(plain.pop("frames"), set(plain.pop("data", ()))),
            variables={name: Variable(*facts) for name, facts in plain.pop("variables").items()},
            content=Content(locations, {name: (size, changed) for name, size, changed in packs}),
            **{key: value for key, value in plain.items() if key in cls.__dataclass_fields__},
        )


def _frame_to_json(frame: Frame) -> list[Any]:
    buffers = [[b.region, b.offset, b.size, int(b.is_readonly)] for b in frame.buffers]
    return [frame.names, frame.pieces, buffers, int(frame.has_definitions)]


def _frames_from_json(frames: Sequence[Sequence[Any]], data: set[int]) -> list[Frame]:
    made = []
    for number, (names, pieces, buffers, has_definitions) in enumerate(frames):
        places = [BufferPlace(region, offset, size, bool(readonly)) for region, offset, size, readonly in buffers]
        made.append(Frame(names, pieces, places, bool(has_definitions), number in data))
    return made


def _read(data: bytes) -> dict[str, Any]:
    return JSONDecoder().decode(data.decode())  # type: ignore[no-any-return]


def digest_manifest(data: bytes) -> str:
    """Return the digest of a manifest's bytes, as in a `SnapshotRef`."""
    return hashlib.sha256(data).hexdigest()


def _another(data: bytes, execution: str) -> str:
    """Describe a file in place of the manifest, if it can be read; only for the error message."""
    try:
        facts = _read(data)
        schema, owner = facts["schema"], facts["execution"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    if not isinstance(schema, int) or schema not in _READABLE:
        return f": in its place is one of schema {schema}, and this is {SCHEMA}"
    is_foreign = bool(execution) and owner != execution
    return f": in its place is one of execution {owner}, not of {execution}" if is_foreign else ""


def read_manifest(folder: Folder, ref: SnapshotRef, *, execution: str = "") -> Manifest:
    """Read a manifest, and check that it is the expected one.

    Raises:
        SnapshotDamaged: If it is missing, changed, or belongs to another execution.
        SnapshotMismatch: If another version of pauseflow_nb wrote it in a way that this one cannot read.
    """
    try:
        data = folder.read(ref.name)
        if digest_manifest(data) != ref.digest and folder.uncache(ref.name):
            # Perhaps only the file in the cache is damaged.
            data = folder.read(ref.name)
    except FileNotFoundError as problem:
        raise SnapshotDamaged(ref.name, f"its manifest is missing from {folder.url}") from problem
    if digest_manifest(data) != ref.digest:
        # The store may have the right one at the next attempt.
        folder.uncache(ref.name)
        raise SnapshotDamaged(ref.name, "its manifest is not what was written" + _another(data, execution))
    try:
        schema = _read(data)["schema"]
        if schema not in _READABLE:
            differs = f"snapshot schema {schema!r} there, {SCHEMA} here"
            raise SnapshotMismatch(ref.name, [differs], "Use the pauseflow_nb that made it")
        manifest = Manifest.from_bytes(data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as problem:
        why = f"the file in place of its manifest is not a manifest: {type(problem).__name__}: {problem}"
        raise SnapshotDamaged(ref.name, why) from problem
    if execution and manifest.execution and manifest.execution != execution:
        raise SnapshotDamaged(ref.name, f"it belongs to execution {manifest.execution}, not to {execution}")
    return manifest
