"""Restore large variables when the notebook's code first mentions them, and fetch them in the background.

Only variables of a remote snapshot that are pure data can be deferred. Until such a variable is loaded, it is not in
the namespace, and it is saved by reference to the stored data. So it must be loaded before code that mentions it
runs: before the first cell if a function mentions it, otherwise just before the statement of the cell.
"""

import builtins
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any

from pauseflow_nb.errors import SnapshotDamaged, StorageFull, StoreUnavailable
from pauseflow_nb.kernel.snapshot.frames import FrameLoader
from pauseflow_nb.kernel.snapshot.last_results import is_result
from pauseflow_nb.kernel.snapshot.pickling.finalizers import quiet_finalizers
from pauseflow_nb.kernel.snapshot.pickling.gc_and_tracing import switched_off
from pauseflow_nb.kernel.snapshot.pickling.load_context import Loading
from pauseflow_nb.kernel.snapshot.recovery.mentions import find_mentions
from pauseflow_nb.kernel.snapshot.storage.manifest import Frame, Manifest, StoredRegion, Variable
from pauseflow_nb.kernel.snapshot.storage.packfile import PackWriter

#: Fewest bytes of a variable that is deferred.
_LARGE = 4 << 20


@dataclass(frozen=True)
class Unit:
    """Frames that are loaded together, because they share memory."""

    frames: list[Frame]

    @property
    def names(self) -> set[str]:
        """Return the names of the variables."""
        return {name for frame in self.frames for name in frame.names}


@dataclass(frozen=True)
class References:
    """The parts of a snapshot that the next one refers to."""

    regions: list[StoredRegion]
    frames: list[Frame]
    variables: dict[str, Variable]
    #: Versions of the packages that it may need.
    packages: dict[str, str]

    def add_to(self, manifest: Manifest) -> Manifest:
        """Add them to the manifest of the new snapshot."""
        first = len(manifest.regions)
        return replace(
            manifest,
            made_by={**manifest.made_by, "packages": self.packages | manifest.made_by["packages"]},
            regions=[*manifest.regions, *self.regions],
            frames=[*manifest.frames, *(_move(frame, {n: first + n for n in frame.regions}) for frame in self.frames)],
            variables=self.variables | manifest.variables,
        )


def find_units(manifest: Manifest) -> list[Unit]:
    """Find the frames of a snapshot that may be deferred."""
    stored = manifest.content.locations
    groups: list[tuple[set[int], list[Frame]]] = []
    for frame in manifest.frames:
        regions, frames = set(frame.regions), [frame]
        for other in [group for group in groups if group[0] & regions]:
            groups.remove(other)
            regions |= other[0]
            frames = other[1] + frames
        groups.append((regions, frames))
    return [
        Unit(frames)
        for regions, frames in groups
        if all(frame.is_data and all(map(_is_plain, frame.names)) for frame in frames)
        and sum(stored[digest].size for frame in frames for digest in frame.pieces if digest in stored)
        + sum(manifest.regions[number].size for number in regions)
        >= _LARGE
    ]


def _is_plain(name: str) -> bool:
    # A name of a built-in function would not be recognised. Pipedream steps look up `props` themselves, and IPython its
    # results.
    is_ours = name.startswith("_pauseflow_") or name == "props" or is_result(name)
    return name.isidentifier() and not is_ours and not hasattr(builtins, name)


def select(units: Iterable[Unit], names: Collection[str] | None) -> list[Unit]:
    """Choose the units that hold one of the names; None: all."""
    return [unit for unit in units if names is None or not unit.names.isdisjoint(names)]


class Deferred:
    """The variables of one snapshot that have not been loaded yet.

    Args:
        shell: The notebook's shell.
        manifest: The manifest of the snapshot.
        units: The deferred frames.
        loader: Loads them; it is closed when nothing is left.
        values: The restored values, to which loaded ones are added.
    """

    def __init__(
        self, shell: Any, manifest: Manifest, units: list[Unit], loader: FrameLoader, values: dict[str, Any]
    ) -> None:
        self._shell = shell
        self._manifest = manifest
        self._units = units
        self._loader = loader
        self._values = values
        self._lock = RLock()

    @property
    def names(self) -> set[str]:
        """Return the names of the variables."""
        return {name for unit in self._units for name in unit.names}

    def begin(self, coming: Mapping[str, str]) -> None:
        """Fetch variables that coming cells mention in the background, in order; others are fetched when needed."""
        left = list(self._units)
        for index in sorted(coming, key=int):
            mentions = find_mentions(coming[index], self._shell.user_ns)
            for unit in [each for each in left if mentions is None or each.names & mentions]:
                left.remove(unit)
                self._loader.begin(unit.frames)

    def load(self, names: Collection[str] | None = None) -> set[str]:
        """Load variables, and wait until they are fetched.

        Args:
            names: Load those of them that are deferred; None: all.

        Returns:
            The names that were bound.

        Raises:
            SnapshotDamaged: If something is missing or is not what was written. The variables stay deferred.
            StoreUnavailable: If the remote store does not answer, or refuses. A later call tries again.
        """
        bound_names: set[str] = set()
        with self._lock:
            for unit in select(self._units, names):
                bound_names |= self._load_unit(unit)
            if not self._units:
                self._loader.close()
        return bound_names

    def settle(self) -> None:
        """Drop the values, because the setups have run."""
        self._values = {}

    def keep(self, pack: PackWriter) -> References:
        """Reuse the stored data in a new snapshot without fetching it; load what cannot be reused.

        Args:
            pack: The pack of the new snapshot.

        Raises:
            SnapshotDamaged: See `load`.
            StoreUnavailable: See `load`.
        """
        with self._lock:
            for unit in list(self._units):
                is_bound = not unit.names.isdisjoint(self._shell.user_ns)
                if is_bound or not all(list(map(pack.keep, self._loader.find_digests(unit.frames)))):
                    self.load(unit.names)
            return self._describe()

    def _describe(self) -> References:
        regions: list[StoredRegion] = []
        frames: list[Frame] = []
        for unit in self._units:
            numbers = sorted({number for frame in unit.frames for number in frame.regions})
            new = {number: len(regions) + at for at, number in enumerate(numbers)}
            regions += [self._manifest.regions[number] for number in numbers]
            frames += [_move(frame, new) for frame in unit.frames]
        names = self.names
        variables = {name: each for name, each in self._manifest.variables.items() if name in names}
        return References(regions, frames, variables, self._manifest.made_by.get("packages", {}) if names else {})

    def _load_unit(self, unit: Unit) -> set[str]:
        values: dict[str, Any] = {}
        with switched_off(), Loading(self._shell.user_ns, self._shell), quiet_finalizers():
            try:
                self._loader.read(unit.frames)
                for frame in unit.frames:
                    values.update(self._loader.load(frame)["values"])
            except (SnapshotDamaged, StoreUnavailable, StorageFull):
                raise
            except Exception as problem:
                names = ", ".join(sorted(unit.names))
                why = f"{names} could not be loaded: {type(problem).__name__}: {problem}"
                raise SnapshotDamaged(self._loader.snapshot, why) from problem
            finally:
                self._loader.forget()
        self._units.remove(unit)
        self._values.update(values)
        # A name that was bound meanwhile has the newer value.
        new = {name: value for name, value in values.items() if name not in self._shell.user_ns}
        self._shell.user_ns.update(new)
        return set(new)


def _move(frame: Frame, numbers: Mapping[int, int]) -> Frame:
    """Renumber the regions of a frame."""
    return replace(frame, buffers=[replace(place, region=numbers[place.region]) for place in frame.buffers])
