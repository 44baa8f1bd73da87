"""List types of objects that cannot be saved, each with the reason and what to do instead.

For most of them, pickle raises an error of its own, which does not help users. Others would be restored as something
else, such as an open file as a StringIO.
"""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import interrupts
from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name


class CannotSave(Exception):
    """An object that cannot be saved, with the reason."""


_SETUP = "open it in a `%%setup` cell"
#: Reason by the type's module and name; a star stands for every type of that module.
_REASONS = {
    "builtins.generator": "a generator is in the middle of its work; make a list of it, or make it where you use it",
    "builtins.async_generator": "a generator is in the middle of its work; make it again where you use it",
    "builtins.coroutine": "a coroutine that has not been awaited; await it before the pause",
    "builtins.frame": "a frame of running code",
    "_thread.lock": "a lock belongs to this process",
    "_thread.RLock": "a lock belongs to this process",
    "_thread._local": "thread-local data belong to this process",
    "threading.Thread": "a thread ends with the kernel",
    "threading.Condition": "a lock belongs to this process",
    "threading.Event": "it wakes threads, which end with the kernel",
    "threading.Semaphore": "a lock belongs to this process",
    "concurrent.futures.thread.ThreadPoolExecutor": "its threads end with the kernel; make it in a `%%setup` cell",
    "concurrent.futures.process.ProcessPoolExecutor": "its processes end with the kernel; make it in a `%%setup` cell",
    "_asyncio.Task": "a task ends with the kernel; await it before the pause",
    "_asyncio.Future": "a future ends with the kernel; await it before the pause",
    "subprocess.Popen": "a running program ends with the kernel, or is out of reach for the next one",
    "socket.socket": f"a network connection; {_SETUP}",
    "ssl.SSLContext": "keys and certificates stay in this process; make it in a `%%setup` cell",
    "sqlite3.Connection": f"a database connection; {_SETUP}",
    "sqlite3.Cursor": f"a cursor of a database connection; {_SETUP}",
    "_hashlib.HASH": "a digest in the middle of its work; call `.hexdigest()` before the pause",
    "weakref.finalize": "it is bound to the end of an object in this process",
    "mmap.mmap": "a memory-mapped file; map it in a `%%setup` cell, or use numpy.memmap",
    "multiprocessing.shared_memory.SharedMemory": "its memory is freed when the kernel ends; keep a copy of the contents",
    "tqdm.utils.DisableOnWriteError": "a progress bar writes to it; make the bar again where you use it",
    "_contextvars.Token": "it can undo a change only in the context that made it",
    "_csv.writer": "it writes into a file; make it again where you use it",
    "tempfile._TemporaryFileWrapper": "a temporary file; keep its name instead",
    "functools.KeyWrapper": "a key of `functools.cmp_to_key`; keep the function that compares instead",
    "_contextvars.Context": "a context belongs to this process; keep the values of its variables instead",
    "_csv.reader": "it is in the middle of a file; read all rows before the pause",
}


def find_reason(kind: type) -> str | None:
    """Return why objects of this type cannot be saved; None if no reason is known."""
    for base in kind.__mro__:
        reason = _REASONS.get(full_name(base))
        if reason is not None:
            return reason
    return None


@contextlib.contextmanager
def convert_exits() -> Iterator[None]:
    """Turn what the code of a class raises into an error, even if it calls `sys.exit()`.

    An interrupt by the user stays one.

    Raises:
        CannotSave: Instead of a `BaseException` that is no `Exception`.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and interrupts.has_arrived():
            raise
        raise CannotSave(describe_error(error)) from error


def describe_error(error: BaseException) -> str:
    """Describe an error; the text of a user's own error may raise another one."""
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:  # noqa: BLE001 - the user's code
        return type(error).__name__


def explain_file(file: io.IOBase) -> str:
    """Describe an open file, and say what to do."""
    name: Any = getattr(file, "name", None)
    mode: Any = getattr(file, "mode", None)
    which = f" ({name!r}, mode {mode!r})" if isinstance(name, (str, bytes, int)) else ""
    return f"an open file{which}; close it before the pause, or open it where you use it"
