"""Check a store and its processes for what would stop executions, links or messages: `pauseflow doctor`."""

import importlib.metadata
import importlib.util
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from pauseflow_nb.errors import NoStore, PauseflowError, StoreUnavailable
from pauseflow_nb.queues import DEFAULT_QUEUE
from pauseflow_nb.settings import FILE_NAME, Settings, known_variables
from pauseflow_nb.suggestions import did_you_mean

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.store.workers import ProcessFacts

#: For one look at something far away.
_PATIENCE_SECONDS = 10.0
_LITTLE_ROOM = 1024**3
#: A clock that is this wrong makes times in notebooks and links confusing; deadlines follow the database's clock alone.
_SKEW_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    #: `"wrong"`: something will not work; `"note"`: something is missing that not everybody needs.
    status: Literal["ok", "note", "wrong"]
    text: str


def check_environment(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look for variables that look like settings and are none."""
    known = known_variables()
    for name in sorted(environment):
        is_ours = name.startswith("PAUSEFLOW_") and not name.startswith("PAUSEFLOW_SECRET_")
        if is_ours and name not in known:
            yield Finding("environment", "wrong", _describe_unknown(name, known))


def check_files(folders: Iterable[Path]) -> Iterator[Finding]:
    """Look for files of settings that cannot be read, and for words in them that are not settings."""
    for file in dict.fromkeys(folder.absolute() / FILE_NAME for folder in folders):
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, RecursionError) as problem:
            yield Finding("settings", "wrong", f"{file} cannot be read: {problem}")
            continue
        known = Settings.model_fields
        for name in found:
            if name not in known:
                yield Finding("settings", "wrong", f"{file}: {_describe_unknown(name, known)}")


def check_store(settings: Settings, open_queue: Callable[..., "Queue"]) -> Iterator[Finding]:
    """Open the store, write and read a file, and look for room, for a worker and for somebody who answers links."""
    try:
        try:
            queue, made = open_queue(settings), ""
        except NoStore:
            queue, made = open_queue(settings, creates=True), " (there was no store: this command has created it)"
    except PauseflowError as problem:
        yield Finding("database", "wrong", str(problem))
        yield _check_storage(settings)
        return
    yield Finding("database", "ok", settings.shown("db") + made)
    storage = _check_storage(settings)
    yield storage
    if storage.status == "ok":
        yield _check_room(queue)
    yield from _check_cache(queue)
    yield from check_cluster(queue)
    server = queue.live_server_url()
    yield Finding("server", "ok" if server else "note", server or "none is alive: start `pauseflow serve`")
    yield _check_links(settings, server)


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Look for kernels, widgets, the parts of JupyterLab, and who delivers messages."""
    yield _check_kernels()
    yield _check_widgets()
    yield _check_extension()
    yield _check_panel()
    yield _check_mail(settings)
    yield _check_notify(settings)
    yield _check_secrets(settings)


def _check_storage(settings: Settings) -> Finding:
    from pauseflow_nb.store.files import Files

    files, name = Files(settings.storage), f"doctor-{os.getpid()}"

    def attempt() -> None:
        files.write(f"{name}/probe", b"pauseflow")
        try:
            if files.read(f"{name}/probe") != b"pauseflow":
                raise OSError("what was read is not what was written")
        finally:
            files.remove(name)

    problem = _find_problem(attempt)
    shown = settings.shown("storage")
    return Finding("storage", "ok", shown) if problem is None else Finding("storage", "wrong", f"{shown}: {problem}")


def _check_room(queue: "Queue") -> Finding:
    from pauseflow_nb.engine.start_checks import require_room

    try:
        require_room(queue, 1)
    except PauseflowError as problem:
        return Finding("disk", "wrong", str(problem))
    free = queue.files.free()
    if free is None:
        return Finding("disk", "ok", "an object store")
    return Finding("disk", "ok" if free > _LITTLE_ROOM else "note", f"{free / 1024**3:.1f} GiB free")


def _check_cache(queue: "Queue") -> Iterator[Finding]:
    from pauseflow_nb.engine.snapshot_cache import describe_cache, measure

    size = measure(queue)
    if size is not None:
        yield Finding("snapshot cache", "ok", describe_cache(size))


def _check_links(settings: Settings, server: str | None) -> Finding:
    base = settings.public_url or server
    if base is None:
        return Finding("links", "note", "nobody answers them now: start `pauseflow serve`")
    problem = _find_problem(lambda: _request(f"{base.rstrip('/')}/pauseflow/api/health"))
    if problem is None:
        return Finding("links", "ok", f"{base} answers")
    is_unknown = "Name or service" in problem or "getaddrinfo" in problem or "nodename" in problem
    # Without a server nobody can answer; that is said, and may be meant.
    is_wrong = server is not None or is_unknown or settings.public_url is None
    where = "public_url" if settings.public_url else "the server"
    return Finding("links", "wrong" if is_wrong else "note", f"{where} {base} does not answer: {problem}")


def _request(url: str) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise OSError("this is not a web address")
    try:
        with urlopen(url, timeout=_PATIENCE_SECONDS / 2) as answer:  # noqa: S310 (checked above)
            answer.read(1)
    except HTTPError as answer:
        if answer.code in (404, 502, 503, 504):
            raise OSError(f"{answer.code} {answer.reason}: something else answers there") from None


def _check_kernels() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    from pauseflow_nb.runner.kernels.spec import DEFAULT_KERNEL, find_spec

    try:
        find_spec(DEFAULT_KERNEL)
    except PauseflowError as problem:
        return Finding("kernels", "wrong", str(problem))
    return Finding("kernels", "ok", ", ".join(sorted(KernelSpecManager().find_kernel_specs())))


def _check_extension() -> Finding:
    from jupyter_core.paths import jupyter_config_path

    found = [
        file
        for folder in jupyter_config_path()
        for file in (Path(folder) / "jupyter_server_config.d").glob("*.json")
        if "pauseflow_nb" in _read_text(file)
    ]
    if found:
        return Finding("server extension", "ok", str(found[0]))
    return Finding(
        "server extension",
        "note",
        "not enabled: `jupyter server extension enable pauseflow_nb` turns it on in JupyterLab",
    )


def _check_panel() -> Finding:
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("labextensions"):
        if (Path(folder) / "pauseflow-nb" / "package.json").is_file():
            return Finding("panel", "ok", str(Path(folder) / "pauseflow-nb"))
    return Finding("panel", "note", "JupyterLab does not find it here: install the wheel, or run `make lab` in a clone")


def _check_mail(settings: Settings) -> Finding:
    from pauseflow_nb.notifications import try_mail_server

    if settings.smtp_host is None:
        return Finding("mail", "note", "no mail server is set (smtp_host)")
    problem = _find_problem(lambda: try_mail_server(settings))
    if problem is not None:
        return Finding("mail", "wrong", f"{settings.smtp_host}: {problem}")
    return Finding("mail", "ok", f"{settings.smtp_host} answers")


def _check_widgets() -> Finding:
    try:
        version = importlib.metadata.version("ipywidgets")
        importlib.metadata.version("jupyterlab_widgets")
    except importlib.metadata.PackageNotFoundError:
        return Finding("widgets", "note", _describe_missing("ipywidgets", "buttons by hand"))
    if tuple(map(int, version.split(".")[:2])) < (8, 1):
        return Finding("widgets", "note", f"{version} is too old for buttons by hand: pip install -U ipywidgets")
    return Finding("widgets", "ok", version)


def _check_notify(settings: Settings) -> Finding:
    if not settings.notify:
        return Finding("notify", "note", "no targets are set (notify)")
    if not _is_installed("apprise"):
        return Finding("notify", "wrong", "targets are set, and apprise is missing: pip install 'pauseflow-nb[notify]'")
    import apprise

    wrong = [name for name, url in settings.notify.items() if not apprise.Apprise().add(url)]
    if wrong:
        return Finding("notify", "wrong", f"apprise does not understand the URL of: {', '.join(wrong)}")
    return Finding("notify", "ok", ", ".join(settings.notify))


def _check_secrets(settings: Settings) -> Finding:
    from pauseflow_nb.user_secrets.providers import Providers

    providers = Providers(settings.secrets_dir)
    has_any, text = providers.describe()
    return Finding("secrets", "ok" if has_any else "note", text)


def _find_problem(attempt: Callable[[], Any]) -> str | None:
    """Say what goes wrong, also where it does not return in time."""
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        pool.submit(attempt).result(timeout=_PATIENCE_SECONDS)
    except TooLate:
        return f"no answer within {_PATIENCE_SECONDS:g} s"
    except StoreUnavailable as problem:
        cause = problem.__cause__
        return cause.problem if isinstance(cause, StoreUnavailable) else problem.problem
    except Exception as problem:  # noqa: BLE001 (each kind of storage and server has errors of its own)
        return (str(problem).strip() or type(problem).__name__).splitlines()[0]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return None


def _describe_unknown(name: str, known: Iterable[str]) -> str:
    return f"{name} is not a setting{did_you_mean(name, known) or '; docs/settings.md lists all settings'}"


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _describe_missing(package: str, what: str) -> str:
    return f"{what} need it: pip install {package}"


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def check_cluster(queue: "Queue") -> Iterator[Finding]:
    """Look for workers, for queues without one, and for processes whose clock or version differs."""
    alive = queue.list_processes()
    found = [each for each in alive if each.kind == "worker"]
    if found:
        yield Finding("worker", "ok", "; ".join(_describe(each) for each in found))
    else:
        yield Finding("worker", "note", "none is alive: start `pauseflow serve`")
    yield _check_queues(queue, {name for each in found for name in each.queues})
    yield _check_clocks(alive)
    yield _check_versions(alive)


def _describe(worker: "ProcessFacts") -> str:
    queues = "" if worker.queues == (DEFAULT_QUEUE,) else f", queue {', '.join(worker.queues)}"
    at_once = "" if worker.concurrency is None else f", {worker.concurrency} at once"
    return f"{worker.id} is alive{queues}{at_once}"


def _check_queues(queue: "Queue", served: set[str]) -> Finding:
    waiting = queue.count_queued()
    left = {name: count for name, count in sorted(waiting.items()) if name not in served}
    if not left:
        return Finding("queues", "ok", ", ".join(sorted(served | set(waiting))) or DEFAULT_QUEUE)
    text = "; ".join(_describe_queue(name, count) for name, count in left.items())
    # Without any worker, what waits for the default one is said by the line above, and may be meant.
    return Finding("queues", "wrong" if served or set(left) != {DEFAULT_QUEUE} else "note", text)


def _describe_queue(name: str, count: int) -> str:
    waits = "1 execution waits" if count == 1 else f"{count} executions wait"
    if name == DEFAULT_QUEUE:
        return f"{waits} for a worker (none is running): start `pauseflow worker`"
    return f"{waits} for a worker of queue {name} (none is running): start `pauseflow worker --queue {name}`"


def _check_clocks(alive: "Sequence[ProcessFacts]") -> Finding:
    skewed = [each for each in alive if each.clock_ahead is not None and abs(each.clock_ahead) > _SKEW_SECONDS]
    if not skewed:
        return Finding("clocks", "ok", "those of all processes agree with the database's")
    text = "; ".join(
        f"{each.id} is {abs(each.clock_ahead or 0):.1f} s {'ahead of' if (each.clock_ahead or 0) > 0 else 'behind'} the database"
        for each in skewed
    )
    return Finding("clocks", "wrong", f"{text}: set the clocks with NTP")


def _check_versions(alive: "Sequence[ProcessFacts]") -> Finding:
    from importlib.metadata import version

    own = version("pauseflow_nb")
    others = Counter(each.version for each in alive if each.version not in (None, own))
    if not others:
        return Finding("versions", "ok", own)
    text = ", ".join(
        f"{count} {'process has' if count == 1 else 'processes have'} {name}" for name, count in others.items()
    )
    return Finding("versions", "wrong", f"this is {own}, and {text}: install one version everywhere, then restart them")
