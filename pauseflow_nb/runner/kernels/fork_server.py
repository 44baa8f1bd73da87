"""Fork kernels: a script that the interpreter of the kernels runs, and that imports nothing of the runner.

It has imported ipykernel and, once a notebook needs them, numpy and pandas. It has no ZeroMQ context, no event loop and no
Python thread. Its standard input is a socket: every message requests one kernel and passes a socket for it, on which the
server returns the process id and later the exit status. When the other end of standard input closes, it kills every kernel.
"""

import builtins
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_PR_SET_PDEATHSIG = 1
#: What each kernel imports while it starts.
_IMPORTED_AT_START = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
)
_LIBC = ctypes.CDLL(None)


class _Server:
    def __init__(self) -> None:
        self._control = socket.socket(fileno=0)
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        #: Process id → the socket and the folder of the kernel.
        self._kernels: dict[int, tuple[socket.socket, str]] = {}
        self._ended: set[int] = set()
        self._is_retiring = False

    def serve(self) -> None:
        self._selector.register(self._control, selectors.EVENT_READ, self._handle_request)
        self._selector.register(self._wake, selectors.EVENT_READ, self._report_ended)
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _handle_request(self, control: socket.socket) -> None:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 2)
        if not data:
            for pid, (_, folder) in self._kernels.items():
                _kill_group(pid)
                shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
        request = json.loads(data)
        if "retire" in request:
            self._is_retiring = True
            self._end_if_done()
            return
        connection, output = socket.socket(fileno=descriptors[0]), descriptors[1]
        problem = _LIBRARIES.preload(request["libraries"])
        if problem is not None:
            connection.send(json.dumps({"problem": problem}).encode())
            connection.close()
            os.close(output)
            return
        with warnings.catch_warnings():
            # Newer Pythons warn of threads; the BLAS of numpy starts its threads again by itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            server = os.getpid()
            pid = os.fork()
        if pid == 0:
            request["server"] = server
            self._run_forked_kernel(request, connection, output)
        os.close(output)
        self._kernels[pid] = connection, request["folder"]
        self._selector.register(connection, selectors.EVENT_READ, self._forget_kernel)
        connection.send(json.dumps({"pid": pid}).encode())

    def _report_ended(self, wake: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
        for pid in [pid for pid in self._kernels if pid not in self._ended]:
            # Left as a zombie, so that no signal can reach another process that got the same id.
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                self._ended.add(pid)
                status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
                with contextlib.suppress(OSError):
                    self._kernels[pid][0].send(json.dumps({"status": status}).encode())

    def _forget_kernel(self, connection: socket.socket) -> None:
        """Reap a kernel whose connection has closed: the client knows the exit status, or has ended."""
        self._selector.unregister(connection)
        connection.close()
        pid = next(pid for pid, (other, _) in self._kernels.items() if other is connection)
        _kill_group(pid)
        os.waitpid(pid, 0)
        del self._kernels[pid]
        self._ended.discard(pid)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_retiring and not self._kernels:
            os._exit(0)

    def _run_forked_kernel(self, request: dict[str, Any], connection: socket.socket, output: int) -> None:
        code = 1
        try:
            self._selector.close()
            # Also those of the other kernels: they must be closed once this server closes them.
            for other, _ in self._kernels.values():
                other.close()
            connection.close()
            self._control.close()
            signal.set_wakeup_fd(-1)
            os.close(self._wake)
            os.close(self._waker)
            _run_kernel(request, output)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:  # noqa: BLE001
            import traceback

            traceback.print_exc()
        finally:
            _run_exit_functions()
            os._exit(code)


def _run_kernel(request: dict[str, Any], output: int) -> None:
    os.setsid()
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0 and os.getppid() != request["server"]:
        return
    for number, handler in ((signal.SIGCHLD, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        signal.signal(number, handler)
    _close_input()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(request["cwd"])
    time.tzset()
    sys.argv = request["argv"]
    sys.orig_argv[1:] = [str(Path(__file__).with_name("launch_ipykernel.py")), *request["argv"][1:]]
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    _reset_process_state()
    _LIBRARIES.hide()
    from ipykernel.kernelapp import IPKernelApp

    app: Any = IPKernelApp.instance(parent_handle=os.getppid())
    app.initialize(request["argv"][1:])
    app.start()


def _close_input() -> None:
    """Replace the standard input with a pipe that has no writer, as in a kernel that is started."""
    ours, theirs = os.pipe()
    os.close(theirs)
    if ours != 0:
        # Descriptor 0 was free, so the pipe may have got it.
        os.dup2(ours, 0)
        os.close(ours)


def _reset_process_state() -> None:
    """Set again what Python and libraries set once for each process when they are imported."""
    import logging
    import multiprocessing.process as processes
    import random

    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    own: Any = processes.current_process()
    own.authkey = os.urandom(32)
    started: Any = logging
    started._startTime = time.time_ns() if isinstance(started._startTime, int) else time.time()  # noqa: SLF001


def _run_exit_functions() -> None:
    with contextlib.suppress(BaseException):
        import atexit

        atexit._run_exitfuncs()  # noqa: SLF001 - Python does this at its end, but not in a forked process
        sys.stdout.flush()
        sys.stderr.flush()


class _Libraries:
    """Imports libraries ahead, and hides them from a kernel until it imports them itself."""

    def __init__(self) -> None:
        #: Library → modules that its import added, and warnings filters that it added; in the order of imports.
        self._added: dict[str, tuple[dict[str, ModuleType], list[Any]]] = {}
        self._hidden: dict[str, ModuleType] = {}

    def preload(self, names: list[str]) -> str | None:
        """Import libraries that are missing; returns why one cannot be imported ahead, or None."""
        missing = [name for name in names if name not in sys.modules]
        for name in missing:
            before = set(sys.modules)
            with _imitate_kernel() as printed, warnings.catch_warnings(record=True) as warned:
                known = list(warnings.filters)
                try:
                    importlib.import_module(name)
                except BaseException as problem:  # noqa: BLE001
                    return f"{name}: {problem}"
                added = [entry for entry in warnings.filters if entry not in known]
            if warned or printed.getvalue():
                # In a kernel that is started, the cell that imports the library shows this.
                return f"{name}: {warned[0].message if warned else printed.getvalue()}"
            modules = {module: sys.modules[module] for module in list(sys.modules) if module not in before}
            self._added[name] = modules, added
        if missing:
            _freeze_memory()
        return None

    def hide(self) -> None:
        """Hide the libraries, as if none of them had been imported."""
        for modules, _ in self._added.values():
            self._hidden |= modules
        for name in self._hidden:
            sys.modules.pop(name, None)
        if self._hidden:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Find a hidden module, and show all modules that its import adds."""
        if name not in self._hidden:
            return None
        found = self._hidden.pop(name)
        self._show(name.partition(".")[0])
        if not self._hidden:
            sys.meta_path.remove(self)
        spec = found.__spec__
        is_package = spec is not None and spec.submodule_search_locations is not None
        loader: Any = _LoadedLoader(found)
        return ModuleSpec(name, loader, origin=spec.origin if spec else None, is_package=is_package)

    def _show(self, top: str) -> None:
        if top not in self._added:
            self._show_modules(name for name in list(self._hidden) if name.partition(".")[0] == top)
            return
        for library, (modules, filters) in self._added.items():
            self._show_modules(name for name in modules if name in self._hidden)
            warnings.filters[:0] = [entry for entry in filters if entry not in warnings.filters]  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - what `filterwarnings` calls
            if library == top:
                # Later libraries may have been imported for other notebooks.
                return

    def _show_modules(self, names: Iterable[str]) -> None:
        for name in names:
            sys.modules[name] = self._hidden.pop(name)


class _LoadedLoader:
    """Loads a module that was loaded before, so that there is nothing to do."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, _spec: ModuleSpec) -> ModuleType:
        """Return the module as it is."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the specification of the module, which importlib has just replaced."""
        module.__spec__ = self._spec


_LIBRARIES = _Libraries()


@contextlib.contextmanager
def _imitate_kernel() -> Iterator[io.StringIO]:
    """Let this process look like a kernel while a library is imported; yields what is printed meanwhile.

    For example, pandas chooses the width of its frames by whether it is in a kernel or in a terminal.
    """
    from ipykernel.zmqshell import ZMQInteractiveShell

    shell: Any = ZMQInteractiveShell.__new__(ZMQInteractiveShell)
    shell.config = {"IPKernelApp": {}}
    classes: list[Any] = list(ZMQInteractiveShell._walk_mro())  # noqa: SLF001 - `instance()` uses these classes
    printed = _Printed()
    streams = sys.stdout, sys.stderr
    main = sys.modules["__main__"]
    inside: dict[str, Any] = {"get_ipython": lambda: shell, "__IPYTHON__": True}
    vars(builtins).update(inside)
    sys.stdout = sys.stderr = printed
    sys.ps1 = "In : "
    sys.modules["__main__"] = ModuleType("__main__")
    for each in classes:
        each._instance = shell  # noqa: SLF001 - see above
    try:
        yield printed
    finally:
        for each in classes:
            each._instance = None  # noqa: SLF001 - see above
        sys.modules["__main__"] = main
        del sys.ps1
        sys.stdout, sys.stderr = streams
        for name in inside:
            vars(builtins).pop(name, None)


class _Printed(io.StringIO):
    #: The name in the streams of ipykernel.
    encoding: Any = "UTF-8"


def _freeze_memory() -> None:
    gc.collect()
    # Garbage collectors of the kernels then do not touch the memory that they share.
    gc.freeze()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        # It has not made its group yet.
        with contextlib.suppress(OSError):
            os.kill(group, signal.SIGKILL)


def _import_kernel() -> None:
    # The folder of this script; IPython puts the working directory in its place.
    del sys.path[0]
    # The debugger takes a tenth of a second to load, and nothing uses it here.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("ipykernel.debugger")
    del sys.modules["debugpy"]
    import ipykernel.ipkernel
    import ipykernel.kernelapp  # noqa: F401

    for name in _IMPORTED_AT_START:
        # Other versions of IPython have other modules.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # In an environment without this package, the kernel reports that itself.
    with contextlib.suppress(ImportError):
        importlib.import_module("pauseflow_nb.kernel.import_ahead")


def _main() -> None:
    _import_kernel()
    server = _Server()
    _freeze_memory()
    ready = {"ready": os.getpid(), "path": [folder for folder in sys.path if Path(folder).is_dir()]}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    server.serve()


if __name__ == "__main__":
    _main()
