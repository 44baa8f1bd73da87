"""Machines of a cluster: network namespaces with a disk of their own, an S3 server, and a proxy between them that counts."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: All machines have their disk at this place, and each sees only its own.
DISK = "disk"
_BUCKET = "pauseflow"


def reason_to_skip() -> str | None:
    """Why there can be no machines here; None: there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "network namespaces need the programs ip and unshare"
    name = f"pf{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return None


class Proxy:
    """Forwards an address to a port of this machine, and counts the bytes in each direction."""

    def __init__(self, ip: str, target: int) -> None:
        self.sent = self.received = 0
        self._target = target
        self._listener = socket.create_server((ip, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                threading.Thread(target=self._forward, args=[near], daemon=True).start()

    def _forward(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            back = threading.Thread(target=self._copy, args=(far, near, "received"), daemon=True)
            back.start()
            self._copy(near, far, "sent")
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket, counter: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                setattr(self, counter, getattr(self, counter) + len(data))
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@dataclass
class Machine:
    """A machine of its own network, home, temporary folder, cache and working directory."""

    cluster: "Cluster"
    number: int
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.cluster.name}{self.number}"

    @property
    def ip(self) -> str:
        return f"10.213.{self.number}.1"

    def begin(self) -> None:
        """Make its network, with one address that leads to PostgreSQL and to the S3 server, and to nothing else."""
        for name in ("home", "tmp", "work", "cache"):
            (self.folder / name).mkdir(parents=True)
        run = self.cluster.run
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", f"v{self.name}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "addr", "add", f"{self.ip}/24", "dev", f"v{self.name}")
        run("ip", "link", "set", f"v{self.name}", "up")
        run("ip", "-n", self.name, "addr", "add", f"10.213.{self.number}.2/24", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.database = Proxy(self.ip, self.cluster.database_port)
        self.storage = Proxy(self.ip, self.cluster.s3_port)

    def worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `pauseflow worker` on it."""
        disk = self.cluster.disk
        keep = ("PATH", "LANG", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
        environment = {name: os.environ[name] for name in keep if name in os.environ} | {
            "HOME": f"{disk}/home",
            "TMPDIR": f"{disk}/tmp",
            "XDG_CACHE_HOME": f"{disk}/cache",
            "PAUSEFLOW_DATA_DIR": f"{disk}/data",
            "PAUSEFLOW_DB": self.cluster.database_url(self.ip, self.database.port),
            "PAUSEFLOW_STORAGE": self.cluster.storage_url,
            **self.cluster.credentials(f"http://{self.ip}:{self.storage.port}"),
        }
        enter = f'mount --bind "{self.folder}" "{disk}" && cd "{disk}/work" && exec "$@"'
        command = [sys.executable, "-m", "pauseflow_nb", "worker", *arguments]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", enter, "sh", *command],
            env=environment,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def lose(self) -> None:
        """Kill everything that runs on it, and wipe its disk."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        self.lose()
        self.database.close()
        self.storage.close()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@dataclass
class Cluster:
    """Machines that share only a database and a bucket."""

    folder: Path
    postgresql: Any
    machines: list[Machine] = field(default_factory=list)
    name: str = field(default_factory=lambda: f"pf{secrets.token_hex(2)}")
    s3_port: int = 0

    @property
    def disk(self) -> Path:
        return self.folder / DISK

    @property
    def database_port(self) -> int:
        return int(self.postgresql.port)

    @property
    def storage_url(self) -> str:
        return f"s3://{_BUCKET}/store"

    def database_url(self, ip: str, port: int) -> str:
        url: str = self.postgresql.set(host=ip, port=port).render_as_string(hide_password=False)
        return url

    def credentials(self, endpoint: str) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": endpoint}

    def machine(self) -> Machine:
        number = len(self.machines) + 1
        made = Machine(self, number, self.folder / f"machine{number}")
        self.machines.append(made)
        made.begin()
        return made

    def run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    def objects(self) -> dict[str, int]:
        """What lies in the bucket: name → bytes."""
        import boto3

        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.s3_port}")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET)
        return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}


@contextlib.contextmanager
def open_cluster(folder: Path, postgresql: Any) -> Iterator[Cluster]:
    """Open a cluster; all that was started ends with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    import s3fs

    made = Cluster(folder, postgresql, s3_port=port)
    made.disk.mkdir()
    try:
        os.environ.update(made.credentials(f"http://127.0.0.1:{port}"))
        # It keeps the connections to the server of an earlier test.
        s3fs.S3FileSystem.clear_instance_cache()
        _make_bucket(port)
        yield made
    finally:
        for machine in made.machines:
            machine.close()
        for name in made.credentials(""):
            os.environ.pop(name, None)
        server.kill()
        server.wait()


def _make_bucket(port: int) -> None:
    import boto3
    import botocore.exceptions

    deadline = time.monotonic() + 60
    while True:
        try:
            boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=_BUCKET)
        except botocore.exceptions.BotoCoreError:
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.1)
        else:
            return
