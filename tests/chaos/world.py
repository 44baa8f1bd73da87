"""The processes of one chaos run: a server, workers, and the way to the database and the files, all of which may fail."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from acceptance.forked import Forked, Nursery
from chaos import witness
from chaos.plan import Plan
from chaos.proxy import Proxy
from postgresql_server import PostgreSQL

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

__all__ = ["TOKEN", "Ground", "Member", "World"]

TOKEN = "chaos"
#: Marks all processes of a run, and what they start.
MARK = "PYTEST_CHAOS_RUN"
_BUCKET = "chaos"
_WRONG_CLOCK = Path(__file__).parent / "wrong_clock"

T = TypeVar("T")


@dataclass
class Ground:
    """What all runs of a campaign share."""

    folder: Path
    nursery: Nursery
    postgresql: PostgreSQL | None
    #: Port of the S3 server.
    s3: int | None
    can_mount: bool


@dataclass
class Member:
    """A server or a worker, which is started again when it ends."""

    name: str
    arguments: tuple[str, ...]
    process: "Forked | subprocess.Popen[bytes] | None" = None
    #: When it may be started again.
    again_at: float = 0.0
    is_stopped: bool = False
    #: Seconds by which its clock is wrong.
    shift: int = 0


@dataclass
class World:
    """One run under way."""

    ground: Ground
    plan: Plan
    folder: Path
    members: list[Member] = field(default_factory=list)
    timeline: list[tuple[float, str]] = field(default_factory=list)
    begun: float = field(default_factory=witness.clock)

    def open(self) -> None:
        """Make an empty store, and start everything."""
        for name in ("data", "work", "runtime", "logs", "tmp"):
            (self.folder / name).mkdir(parents=True)
        self.is_mounted = self.ground.can_mount and "fill-disk" not in self.plan.left_out
        if self.is_mounted:
            command = ["mount", "-t", "tmpfs", "-o", "size=300M", "chaos", str(self.folder / "data")]
            subprocess.run(command, check=True)
        self.port = _free_port()
        db, self.to_database = f"sqlite:///{self.folder / 'data' / 'pauseflow.db'}", None
        theirs = db
        if self.plan.database == "postgresql":
            assert self.ground.postgresql is not None
            db = self._make_database(self.ground.postgresql)
            self.to_database = Proxy(self.ground.postgresql.port)
            theirs = sa.make_url(db).set(port=self.to_database.port).render_as_string(hide_password=False)
        storage, self.to_storage = str(self.folder / "data" / "files"), None
        self._s3: dict[str, str] = {}
        if self.plan.storage == "s3":
            assert self.ground.s3 is not None
            self.to_storage = Proxy(self.ground.s3)
            storage = f"s3://{_BUCKET}/{self.folder.name}"
            self._s3 = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.to_storage.port}"}
            os.environ["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{self.ground.s3}"
            _make_bucket(self.ground.s3)
        flags = {"data_dir": self.folder / "data", "db": db, "storage": storage, "port": self.port}
        flags["public_url"] = f"http://127.0.0.1:{self.port}"
        self.settings = Settings.load(flags=flags, environment={})
        self.queue = Queue.open(self.settings)
        witness.install(self.queue.engine)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PAUSEFLOW_")},
            **self._s3,
            "PAUSEFLOW_DATA_DIR": str(self.folder / "data"),
            "PAUSEFLOW_DB": theirs,
            "PAUSEFLOW_STORAGE": storage,
            "PAUSEFLOW_PORT": str(self.port),
            "PAUSEFLOW_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "PAUSEFLOW_WORKERS": str(self.plan.at_once),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            MARK: self.folder.name,
        }
        serve = ("serve", *(() if self.plan.server_works else ("--no-worker",)))
        self.members = [Member("server", serve)]
        self.members += [Member(f"worker {n}", ("worker",)) for n in range(self.plan.workers)]
        self.keep_up()

    def say(self, text: str) -> None:
        """Write a line into the timeline."""
        self.timeline.append((witness.clock() - self.begun, text))

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return witness.clock() - self.begun

    @property
    def log(self) -> Path:
        """Where steps write down that they run."""
        return self.folder / "steps.log"

    @property
    def work(self) -> Path:
        """Where notebooks and outputs lie."""
        return self.folder / "work"

    def keep_up(self) -> None:
        """Start what has ended."""
        for member in self.members:
            if member.process is not None and member.process.poll() is not None:
                self.say(f"{member.name} ended with {member.process.returncode}")
                if isinstance(member.process, Forked):
                    member.process.stdout.close()
                    member.process.stderr.close()
                member.process, member.is_stopped = None, False
                # The first is quick, as a supervisor is.
                member.again_at = max(member.again_at, time.monotonic() + 0.2)
            if member.process is None and time.monotonic() >= member.again_at:
                self._start(member)

    def signal(self, member: Member, number: signal.Signals) -> None:
        """Send a signal to a member that lives."""
        if member.process is not None and member.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(member.process.pid, number)

    def kill(self, member: Member) -> None:
        """Kill a member; it has ended when this returns, so that nobody takes it for alive any more."""
        self.signal(member, signal.SIGKILL)
        if member.process is not None:
            member.process.wait()

    def patiently(self, act: Any, seconds: float = 60.0) -> Any:
        """Do something with the store, again until it works: the database may just be away."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return act()
            except Exception as problem:
                if time.monotonic() > deadline:
                    raise
                self.say(f"the test itself had to wait: {type(problem).__name__}")
                time.sleep(0.3)

    def close_processes(self) -> list[str]:
        """End all in order; returns what did not end as it must."""
        problems = []
        for member in self.members:
            self.signal(member, signal.SIGCONT)
            self.signal(member, signal.SIGTERM)
        for member in self.members:
            if member.process is None:
                continue
            try:
                code = member.process.wait(60)
            except subprocess.TimeoutExpired:
                problems.append(f"{member.name} did not end within 60 s of SIGTERM")
                self.signal(member, signal.SIGKILL)
                member.process.wait()
            else:
                if code not in (0, -signal.SIGTERM):
                    problems.append(f"{member.name} ended with {code} after SIGTERM")
            if isinstance(member.process, Forked):
                member.process.stdout.close()
                member.process.stderr.close()
        deadline = time.monotonic() + 15
        while (left := self.left_processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid, command in left.items():
            problems.append(f"process {pid} is left: {command}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return problems

    def kill_processes(self) -> None:
        """End at once what has not ended."""
        for member in self.members:
            self.signal(member, signal.SIGKILL)
        for pid in self.left_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the database and the files."""
        self.queue.close()
        for proxy in (self.to_database, self.to_storage):
            if proxy is not None:
                proxy.close()
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder / "data")], check=True)
        if self.plan.database == "postgresql" and self.ground.postgresql is not None:
            name = sa.make_url(self.settings.db).database
            with _administrator(self.ground.postgresql).connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")

    def left_processes(self) -> dict[int, str]:
        """Find what the processes of this run have started and what still lives, by its mark."""
        mark, found = f"{MARK}={self.folder.name}\0".encode(), {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdecimal() and mark in (entry / "environ").read_bytes() + b"\0":
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    # A process without a command line has ended.
                    if command:
                        found[int(entry.name)] = command.strip()
        return found

    def _start(self, member: Member) -> None:
        extra: Mapping[str, str] = {}
        if member.shift:
            others = filter(None, [os.environ.get("PYTHONPATH")])
            extra = {
                "PYTHONPATH": os.pathsep.join([str(_WRONG_CLOCK), *others]),
                "PYTEST_CHAOS_CLOCK": str(member.shift),
            }
        environment = {**self._environment, **extra}
        arguments = [*member.arguments]
        if self.ground.nursery.can_fork(environment):
            member.process = self.ground.nursery.fork(arguments, cwd=self.work, environment=environment)
            # A full pipe would stop it.
            _drain(member.process, self.folder / "logs" / f"{member.name.replace(' ', '-')}.log")
        else:
            with (self.folder / "logs" / f"{member.name.replace(' ', '-')}.log").open("ab") as log:
                member.process = subprocess.Popen(
                    [sys.executable, "-m", "pauseflow_nb", *arguments],
                    cwd=self.work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        self.say(f"started {member.name}")

    def _make_database(self, server: PostgreSQL) -> str:
        name = f"chaos_{secrets.token_hex(6)}"
        with _administrator(server).connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return sa.make_url(server.url).set(database=name).render_as_string(hide_password=False)


def _administrator(server: PostgreSQL) -> sa.Engine:
    return sa.create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def _drain(process: Forked, file: Path) -> None:
    import threading

    def copy(stream: Any) -> None:
        with suppress(ValueError, OSError), file.open("a") as log:
            for line in stream:
                log.write(line)
                log.flush()

    for stream in (process.stdout, process.stderr):
        threading.Thread(target=copy, args=[stream], daemon=True).start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _make_bucket(port: int) -> None:
    from urllib.request import Request, urlopen

    with urlopen(Request(f"http://127.0.0.1:{port}/{_BUCKET}", method="PUT")):
        pass
