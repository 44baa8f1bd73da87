"""Supply kernels to segments: started for one segment, started ahead of it, or forked from a prepared process.

A notebook sees no difference; only the time until its first cell differs. No kernel runs two segments, except those that
`keeper` keeps: so a variable that a new kernel could not restore is noticed at the first pause.
"""

import logging
import re
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pauseflow_nb.errors import KernelUnavailable
from pauseflow_nb.runner.kernels.fork_client import CannotFork, ForkServer, can_fork
from pauseflow_nb.runner.kernels.kernel import Kernel
from pauseflow_nb.runner.kernels.spec import Spec, make_environment
from pauseflow_nb.runner.kernels.start import prepare_kernel, start_kernel

log = logging.getLogger(__name__)

#: `cold` starts a process, `prestarted` takes one that was started ahead, and `forked` forks one where that is safe and starts
#: a process elsewhere.
Source: TypeAlias = Literal["cold", "prestarted", "forked"]

#: Large libraries that may be imported before a fork: their import starts no thread and reads nothing that a kernel sets up
#: later.
_LIBRARIES = ("numpy", "pandas")
#: What restores and saves variables imports these; kernels that are made ahead have them from the beginning.
_IMPORTED_WITH_US = ("blake3", "cloudpickle", "fractions", "mmap")
_IMPORTED = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)

_MOST_SERVERS = 4
_MOST_SPARES = 2
_SPARE_SECONDS = 300.0

_Key: TypeAlias = tuple[object, ...]


def find_libraries(sources: Iterable[str]) -> list[str]:
    """Find the libraries that some code imports and that are worth importing before a fork."""
    found = {name for source in sources for name in _IMPORTED.findall(source)}
    # In this order: each library is imported before those that need it, so that a kernel can have it without them.
    return [name for name in _LIBRARIES if name in found or (name == "numpy" and "pandas" in found)]


@dataclass
class _Spare:
    key: _Key
    kernel: Kernel
    since: float = field(default_factory=time.monotonic)


class Supply:
    """Supplies the segments of one process with kernels; safe from any thread.

    Args:
        source: Where the kernels come from.
    """

    def __init__(self, source: Source = "cold") -> None:
        self._source = source
        self._lock = threading.Lock()
        self._servers: dict[_Key, ForkServer] = {}
        #: Servers that fork no more kernels, and whose last kernels still run.
        self._retired: list[ForkServer] = []
        self._spares: list[_Spare] = []
        self._unforkable: set[str] = set()
        self._is_closed = False

    def start_ahead(self, spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None) -> None:
        """Start a kernel that a segment will need soon.

        Raises:
            KernelUnavailable: If its program or working directory does not exist.
        """
        if not spec.is_local:
            return
        kernel = start_kernel(spec, cwd=cwd, env=env, imports_ahead=not _hides(_IMPORTED_WITH_US, cwd))
        with self._lock:
            if not self._is_closed:
                self._spares.append(_Spare(_make_key(spec, cwd, env), kernel))
                return
        _discard(kernel)

    def take(
        self, spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None, libraries: Iterable[str] = ()
    ) -> Kernel:
        """Return a new kernel; it may not be ready yet.

        Args:
            spec: The kernelspec.
            cwd: Its working directory.
            env: Environment variables in addition to those of this process and of the kernelspec.
            libraries: Libraries that its notebook imports; see `find_libraries`.

        Raises:
            KernelUnavailable: If its program or working directory does not exist.
        """
        if not spec.is_local:
            from pauseflow_nb.runner.kernels import provisioned

            return provisioned.start(spec, cwd=cwd, env=env)
        kernel = self._take_spare(_make_key(spec, cwd, env))
        if kernel is None and self._source == "forked":
            kernel = self._fork(spec, cwd, env, libraries)
        if kernel is None:
            kernel = start_kernel(spec, cwd=cwd, env=env)
        if self._source == "prestarted":
            threading.Thread(target=self._refill, args=[spec, cwd, env], name="pauseflow-spare", daemon=True).start()
        return kernel

    def close(self) -> None:
        """End the kernels that no segment has taken, and the fork servers."""
        with self._lock:
            self._is_closed = True
            spares, self._spares = self._spares, []
            servers = [*self._servers.values(), *self._retired]
            self._servers, self._retired = {}, []
        for spare in spares:
            _discard(spare.kernel)
        for server in servers:
            server.stop()

    def _take_spare(self, key: _Key) -> Kernel | None:
        oldest = time.monotonic() - _SPARE_SECONDS
        with self._lock:
            spares, self._spares = self._spares, []
            found, unfit = None, []
            for spare in spares:
                if spare.since < oldest or spare.kernel.process.poll() is not None:
                    unfit.append(spare.kernel)
                elif found is None and spare.key == key:
                    found = spare.kernel
                else:
                    self._spares.append(spare)
        for kernel in unfit:
            _discard(kernel)
        return found

    def _refill(self, spec: Spec, cwd: str, env: Mapping[str, str] | None) -> None:
        with self._lock:
            dropped = [self._spares.pop(0)] if len(self._spares) >= _MOST_SPARES else []
        for spare in dropped:
            _discard(spare.kernel)
        try:
            self.start_ahead(spec, cwd=cwd, env=env)
        except KernelUnavailable as problem:
            log.debug("no spare kernel: %s", problem)

    def _fork(self, spec: Spec, cwd: str, env: Mapping[str, str] | None, libraries: Iterable[str]) -> Kernel | None:
        order = prepare_kernel(spec, cwd=cwd, env=env)
        command = order.command[: order.command.index("-f")] if "-f" in order.command else []
        # The server may have imported a module of a name that here a module in the working directory has.
        if not can_fork(command) or _hides((*_LIBRARIES, *_IMPORTED_WITH_US), cwd):
            shutil.rmtree(order.folder, ignore_errors=True)
            return None
        argv = ["ipykernel_launcher.py", *order.command[len(command) :]]
        forkable = [name for name in libraries if name not in self._unforkable]
        key = (tuple(command), tuple(sorted(order.env.items())))
        try:
            server = self._find_server(key, command[:-2], order.env)
            with order.open_output() as output:
                process = server.fork(argv, cwd=cwd, folder=order.folder, output=output.fileno(), libraries=forkable)
        except (CannotFork, OSError) as problem:
            log.info("started a kernel because it could not be forked: %s", problem)
            shutil.rmtree(order.folder, ignore_errors=True)
            self._unforkable.update(forkable)
            self._drop(key)
            return None
        return order.make_kernel(process, None)

    def _find_server(self, key: _Key, interpreter: list[str], env: Mapping[str, str]) -> ForkServer:
        with self._lock:
            server = self._servers.pop(key, None)
            if server is not None and not server.is_fresh:
                self._retire(server)
                server = None
            # Put at the end: the first server is the one that was not used for longest.
            self._servers[key] = server = server or ForkServer(interpreter, env)
            while len(self._servers) > _MOST_SERVERS:
                self._retire(self._servers.pop(next(iter(self._servers))))
            return server

    def _drop(self, key: _Key) -> None:
        with self._lock:
            server = self._servers.pop(key, None)
            if server is not None:
                self._retire(server)

    def _retire(self, server: ForkServer) -> None:
        for other in [other for other in self._retired if other.has_ended]:
            other.stop()
            self._retired.remove(other)
        server.retire()
        self._retired.append(server)


def _make_key(spec: Spec, cwd: str, env: Mapping[str, str] | None) -> _Key:
    return spec.name, spec.argv, cwd, _identify_directory(cwd), tuple(sorted(make_environment(spec, env).items()))


def _identify_directory(directory: str) -> tuple[int, int] | None:
    """Identify a directory: one that was removed and made again is another."""
    try:
        found = Path(directory).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _hides(names: Iterable[str], cwd: str) -> bool:
    """Whether the working directory has a module of one of the names, which a kernel would import."""
    return any(Path(cwd, f"{name}.py").exists() or Path(cwd, name).is_dir() for name in names)


def _discard(kernel: Kernel) -> None:
    kernel.kill()
    kernel.reap()
