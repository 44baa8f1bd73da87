"""Commands that are long-lived processes: serve, worker."""

import json
import os
import signal
import threading

import click

from pauseflow_nb.cli.options import json_option, print_json, say, settings_options
from pauseflow_nb.settings import Settings

__all__ = ["serve", "worker"]


@click.command()
@click.option("--ip", help="Address to listen on.  [default: 127.0.0.1; as a service of JupyterHub, what it says]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [PAUSEFLOW_PORT]")
@click.option("--public-url", help="Base of the links that people get.  [PAUSEFLOW_PUBLIC_URL]")
@click.option(
    "--links", type=click.Choice(["strict", "confirm", "open"]), help="When a GET may act.  [PAUSEFLOW_LINKS]"
)
@click.option("--workers", type=click.IntRange(1, 64), help="Segments that run at once.  [PAUSEFLOW_WORKERS]")
@click.option("--no-worker", is_flag=True, help="Run nothing here: workers run elsewhere.")
@json_option
@settings_options
def serve(settings: Settings, *, ip: str | None, no_worker: bool, as_json: bool) -> None:
    """Serve the links and the REST API, and run what is queued, until stopped.

    Prints its address and Jupyter's token once it is ready.
    """
    from pauseflow_nb.server.serve import say_ready
    from pauseflow_nb.server.serve import serve as serve_until_stopped

    def say_json(url: str, token: str) -> None:
        print_json({"url": url, "token": token or None})

    serve_until_stopped(settings, ip=ip, start_worker=not no_worker, say=say_json if as_json else say_ready)


def _take_secrets(_context: click.Context, _option: click.Parameter, is_asked: bool) -> None:
    """Read variables from standard input: an environment, unlike this, can be read by other processes."""
    line = b""
    while is_asked and not line.endswith(b"\n") and (more := os.read(0, 1 << 16)):
        line += more
    if line:
        os.environ.update(json.loads(line))


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), help="Segments that run at once.  [PAUSEFLOW_WORKERS]")
# Eager, so that the settings are read after it.
@click.option(
    "--secrets-from-parent",
    is_flag=True,
    hidden=True,
    is_eager=True,
    expose_value=False,
    callback=_take_secrets,
    help="Read secret variables from standard input, as one line of JSON.",
)
@click.option(
    "--with-parent", is_flag=True, help="Stop when standard input ends: the process that started this is gone."
)
@json_option
@settings_options
def worker(settings: Settings, *, with_parent: bool, as_json: bool) -> None:
    """Run queued segments until stopped; SIGTERM lets those that run finish."""
    from pauseflow_nb.engine.worker import run_worker, stop_with_parent

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if with_parent:
        stop_with_parent(stop)

    def say_ready(name: str) -> None:
        if as_json:
            print_json({"worker": name})
        say(f"worker {name} is ready", err=True)

    run_worker(settings, stop=stop, on_ready=say_ready)
