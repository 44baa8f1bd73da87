"""Read and write the manifest: a JSON file that lists a snapshot's content, where its bytes are and what made it.

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

#: Goes up when an older reader could misunderstand a newer manifest.
SCHEMA = 3
#: What this reader understands: in 2, pickles name other modules and nothing says which names they may hold.
_READABLE = frozenset({2, SCHEMA})


#: Not `json.dumps`, into whose place cells may have put something of their own.
_ENCODER = JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class StoredRegion:
    """A piece of raw memory: its chunks, one after the other."""

    size: int
    chunks: list[str]


@dataclass(frozen=True)
class Frame:
    """One pickle: variables that share objects, or the notebook's definitions, or both."""

    names: list[str]
    pieces: list[str]
    buffers: list[BufferPlace]
    has_definitions: bool = False
    #: Whether it holds nothing of the notebook but data, so that it may be loaded at any time, or not at all.
    is_data: bool = False

    @property
    def regions(self) -> set[int]:
        """Numbers of the regions that it shows."""
        return {place.region for place in self.buffers}


@dataclass(frozen=True)
class Variable:
    """A saved variable, described without loading it."""

    type_name: str
    #: Bytes that it takes in the store, those that it shares with others included.
    size: int
    #: What it took to pickle and to write or recognise it.
    seconds: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """Everything about a snapshot but the bytes."""

    execution: str
    made_by: dict[str, Any]
    remade: list[str]
    regions: list[StoredRegion]
    frames: list[Frame]
    #: Pieces of the pickle with what surrounds the variables: random generators, working directory, …
    surroundings: list[str]
    #: Names bound to what an import finds: module and attribute.
    references: dict[str, list[str]]
    #: What to run again for names that cannot be saved: cell index and source of each statement, in order.
    replay: dict[str, list[tuple[int, str]]]
    unsaved: list[dict[str, Any]]
    #: Text of the cells that definitions come from, for tracebacks and `inspect.getsource`.
    sources: dict[str, str]
    variables: dict[str, Variable] = field(default_factory=dict)
    #: Where cells let Python look for modules, too: needed to find out which versions are installed.
    import_path: list[str] = field(default_factory=list)
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
    """Digest of a manifest's bytes, as it stands in a `SnapshotRef`."""
    return hashlib.sha256(data).hexdigest()


def _another(data: bytes, execution: str) -> str:
    """Describe what is in a manifest's place, if that can be read. Nothing relies on it."""
    try:
        facts = _read(data)
        schema, owner = facts["schema"], facts["execution"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    if not isinstance(schema, int) or schema not in _READABLE:
        return f": in its place lies one of schema {schema}, and this is {SCHEMA}"
    is_foreign = bool(execution) and owner != execution
    return f": in its place lies one of execution {owner}, not of {execution}" if is_foreign else ""


def read_manifest(folder: Folder, ref: SnapshotRef, *, execution: str = "") -> Manifest:
    """Read a manifest and check that it is the one meant.

    Raises:
        SnapshotDamaged: If it is missing, changed, or belongs to another execution.
        SnapshotMismatch: If another version of pauseflow_nb wrote it in a way that this one cannot read.
    """
    try:
        data = folder.read(ref.name)
    except FileNotFoundError as problem:
        raise SnapshotDamaged(ref.name, f"its manifest is missing from {folder.url}") from problem
    if digest_manifest(data) != ref.digest:
        raise SnapshotDamaged(ref.name, "its manifest is not what was written" + _another(data, execution))
    try:
        schema = _read(data)["schema"]
        if schema not in _READABLE:
            differs = f"snapshot schema {schema!r} there, {SCHEMA} here"
            raise SnapshotMismatch(ref.name, [differs], "Use the pauseflow_nb that made it")
        manifest = Manifest.from_bytes(data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as problem:
        why = f"what lies in its manifest's place is none: {type(problem).__name__}: {problem}"
        raise SnapshotDamaged(ref.name, why) from problem
    if execution and manifest.execution and manifest.execution != execution:
        raise SnapshotDamaged(ref.name, f"it belongs to execution {manifest.execution}, not to {execution}")
    return manifest
