"""What goes wrong in a chaos run, and who is hit."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chaos import witness
from chaos.plan import FAULTS, Fault
from chaos.proxy import Proxy
from chaos.world import Ground, Member, World

__all__ = ["Faults", "impossible"]


def impossible(ground: Ground) -> dict[str, str]:
    """Say which kinds of faults this machine cannot have, and why."""
    missing = {}
    if ground.postgresql is None:
        missing["restart-database"] = "there is no PostgreSQL server of ours"
    if not ground.can_mount:
        missing["fill-disk"] = "only root may mount a small disk"
    return missing


class Faults:
    """Lets faults happen when they are due, and ends them when their time is over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting = list(world.plan.faults)
        self._ends: list[tuple[float, Callable[[], None]]] = []
        self._is_database_down = False
        acts = {
            "kill-worker": lambda fault: self._kill(self._worker(fault), fault),
            "kill-server": lambda fault: self._kill(world.members[0], fault),
            "kill-kernel": self._kill_kernel,
            "stop-worker": lambda fault: self._stop(self._worker(fault), fault),
            "stop-server": lambda fault: self._stop(world.members[0], fault),
            "stop-kernel": self._stop_kernel,
            "end-worker": self._end_worker,
            "restart-database": self._restart_database,
            "cut-database": lambda fault: self._proxy(world.to_database).cut(min(fault.seconds, 2.0)),
            "break-storage": lambda fault: self._proxy(world.to_storage).break_http(min(fault.seconds, 2.0)),
            "slow-storage": lambda fault: self._proxy(world.to_storage).slow(fault.seconds),
            "fill-disk": self._fill_disk,
            "shift-clock": self._shift_clock,
        }
        assert acts.keys() == FAULTS.keys()
        self._acts = acts

    def step(self) -> bool:
        """Do what is due; False when nothing is left to do."""
        now = self._world.seconds
        while self._waiting and self._waiting[0].at <= now:
            fault = self._waiting.pop(0)
            self._world.say(f"FAULT {fault.kind} for {fault.seconds:.1f} s")
            self._acts[fault.kind](fault)
        for pair in [pair for pair in self._ends if pair[0] <= now]:
            self._ends.remove(pair)
            pair[1]()
        return bool(self._waiting or self._ends)

    def end_all(self) -> None:
        """End what still lasts."""
        for _, end in self._ends:
            end()
        self._ends.clear()
        # A server that stops while the database is cut off cannot remove its row.
        for proxy in (self._world.to_database, self._world.to_storage):
            if proxy is not None:
                proxy.recover()

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._ends.append((self._world.seconds + seconds, act))

    def _proxy(self, proxy: Proxy | None) -> Proxy:
        assert proxy is not None, "the plan has no such fault for this database, or these files"
        return proxy

    def _worker(self, fault: Fault) -> Member:
        workers = self._world.members[1:]
        return workers[int(fault.which * len(workers))]

    def _kill(self, member: Member, fault: Fault) -> None:
        member.again_at = time.monotonic() + fault.seconds / 2
        self._world.kill(member)

    def _end_worker(self, fault: Fault) -> None:
        member = self._worker(fault)
        if not member.is_stopped:
            self._world.signal(member, signal.SIGTERM)

    def _stop(self, member: Member, fault: Fault) -> None:
        if member.process is None or member.is_stopped:
            return
        pid = member.process.pid
        member.is_stopped = True
        self._world.signal(member, signal.SIGSTOP)

        def resume_process() -> None:
            self._world.say(f"{member.name} goes on")
            member.is_stopped = False
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self._later(fault.seconds, resume_process)

    def _kernel(self, fault: Fault) -> int | None:
        """Choose a kernel: of a step that runs, or any that ran lately."""
        lines = witness.read_lines(self._world.log)
        ended = {(line.execution, line.step, line.run, line.attempt) for line in lines if line.what == "end"}
        running = [
            line.pid
            for line in lines
            if line.what == "begin" and (line.execution, line.step, line.run, line.attempt) not in ended
        ]
        pids = [pid for pid in dict.fromkeys([*running, *(line.pid for line in lines[-8:])]) if self._is_ours(pid)]
        return pids[int(fault.which * len(pids))] if pids else None

    def _is_ours(self, pid: int) -> bool:
        # Its number may belong to another process since.
        return pid in self._world.left_processes()

    def _kill_kernel(self, fault: Fault) -> None:
        pid = self._kernel(fault)
        if pid is not None:
            self._world.say(f"killed kernel {pid}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _stop_kernel(self, fault: Fault) -> None:
        pid = self._kernel(fault)
        if pid is None:
            return
        self._world.say(f"stopped kernel {pid}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

        def resume_process() -> None:
            if self._is_ours(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        self._later(fault.seconds, resume_process)

    def _restart_database(self, fault: Fault) -> None:
        server = self._world.ground.postgresql
        assert server is not None
        if self._is_database_down:
            return
        server.stop()
        self._is_database_down = True

        def start() -> None:
            server.start()
            self._is_database_down = False

        if fault.seconds < 1:
            start()
        else:
            self._later(min(fault.seconds, 2.0), start)

    def _fill_disk(self, fault: Fault) -> None:
        disk = self._world.folder / "data"
        ballast = disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))
        self._later(min(fault.seconds, 2.0), lambda: ballast.unlink(missing_ok=True))

    def _shift_clock(self, fault: Fault) -> None:
        """Start a worker again whose clock is two hours fast or slow."""
        member = self._worker(fault)
        member.shift = 7200 if fault.which < 0.5 else -7200
        self._world.kill(member)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a small disk."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1M", "chaos", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True
