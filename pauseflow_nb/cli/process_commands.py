"""Define the commands serve and worker, which run until they are stopped."""

import json
import logging
import os
import signal
import threading

import click

from pauseflow_nb.cli.options import WholeNumberBetween, print_json, print_lines, store_options
from pauseflow_nb.json_logs import log_as_json
from pauseflow_nb.settings import Settings

log = logging.getLogger(__name__)


_queue_option = click.option(
    "--queue",
    "queues",
    metavar="NAME",
    multiple=True,
    callback=lambda _context, _option, names: ",".join(names) if names else None,
    help="Queue whose executions the worker runs; repeat for several.  [PAUSEFLOW_QUEUES, default: default]",
)


@click.command()
@click.option(
    "--ip", help="Address to listen on.  [default: 127.0.0.1; as a service of JupyterHub, the address from the hub]"
)
@click.option("--port", type=WholeNumberBetween(0, 65535), help="Port; 0 takes a free one.  [PAUSEFLOW_PORT]")
@click.option("--public-url", help="Base URL of the links.  [PAUSEFLOW_PUBLIC_URL]")
@click.option(
    "--links",
    type=click.Choice(["strict", "confirm", "open"]),
    help="When a GET request to a link may settle a suspension.  [PAUSEFLOW_LINKS]",
)
@click.option(
    "--workers",
    type=WholeNumberBetween(1, 64),
    help="Number of executions that run at the same time.  [PAUSEFLOW_WORKERS]",
)
@_queue_option
@click.option("--no-worker", is_flag=True, help="Start no worker, because workers run elsewhere.")
@store_options
def serve(settings: Settings, *, ip: str | None, no_worker: bool, as_json: bool) -> None:
    """Serve the links and the REST API, and run queued executions, until stopped.

    Prints its address and the token of Jupyter once it is ready.
    """
    from pauseflow_nb.server.serve import print_ready
    from pauseflow_nb.server.serve import serve as serve_until_stopped
    from pauseflow_nb.store.files import Files

    Files(settings.storage).require_client()

    if settings.log_format == "json":
        log_as_json()

    def print_ready_as_json(url: str, token: str) -> None:
        print_json({"url": url, "token": token or None})

    serve_until_stopped(
        settings, ip=ip, start_worker=not no_worker, announce=print_ready_as_json if as_json else print_ready
    )


def _read_secrets(_context: click.Context, _option: click.Parameter, is_set: bool) -> None:
    """Read variables from standard input, because other processes could read them in the environment."""
    line = b""
    while is_set and not line.endswith(b"\n") and (more := os.read(0, 1 << 16)):
        line += more
    if line:
        os.environ.update(json.loads(line))


@click.command()
@_queue_option
@click.option(
    "--concurrency",
    "--workers",
    "workers",
    type=WholeNumberBetween(1, 64),
    help="Number of executions that run at the same time, of all its queues.  [PAUSEFLOW_WORKERS]",
)
# Eager, so that the secrets are read before the settings.
@click.option(
    "--secrets-from-parent",
    is_flag=True,
    hidden=True,
    is_eager=True,
    expose_value=False,
    callback=_read_secrets,
    help="Read secret variables from standard input, as one line of JSON.",
)
@click.option(
    "--with-parent", is_flag=True, help="Stop when standard input closes, because the parent process has ended."
)
@store_options
def worker(settings: Settings, *, with_parent: bool, as_json: bool) -> None:
    """Run queued executions until stopped, without a server.

    On Ctrl-C or SIGTERM the worker takes no new ones, and gives running cells 20 seconds to end. Other workers continue
    the executions.
    """
    from pauseflow_nb.engine.worker import run_worker, stop_with_parent
    from pauseflow_nb.store.files import Files

    Files(settings.storage).require_client()
    if settings.log_format == "json":
        log_as_json()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if with_parent:
        stop_with_parent(stop)

    def print_ready(name: str) -> None:
        if as_json:
            print_json({"worker": name})
        if settings.log_format == "json":
            log.info("worker %s is ready", name)
        else:
            print_lines(f"worker {name} is ready", err=True)

    run_worker(settings, stop=stop, on_ready=print_ready)
