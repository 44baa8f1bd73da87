"""Define the commands on a store as a whole: its keys, the links that they sign, and what `pauseflow gc` removes."""

import click

from pauseflow_nb.cli.completion import execution_argument
from pauseflow_nb.cli.options import (
    CommandGroup,
    WholeNumberBetween,
    open_queue,
    print_execution,
    print_json,
    print_lines,
    store_options,
)
from pauseflow_nb.settings import Settings


@click.group(cls=CommandGroup)
def keys() -> None:
    """List, rotate and export the keys that sign links, snapshots and decisions."""


@keys.command("list")
@store_options
def list_(settings: Settings, *, as_json: bool) -> None:
    """List the keys: the newest one signs, older ones verify, and withdrawn ones do neither."""
    from pauseflow_nb.cli.terminal import format_table

    found = open_queue(settings).list_keys()
    if as_json:
        print_json(found)
        return
    rows = [
        (str(key["id"]), key["state"], key["created_at"][:19].replace("T", " "), f"SHA256:{key['fingerprint']}")
        for key in found
    ]
    click.echo(format_table([("KEY", "STATE", "CREATED (UTC)", "FINGERPRINT OF THE PUBLIC KEY"), *rows]))


@keys.command()
@click.option(
    "--withdraw", is_flag=True, help="Refuse all links that older keys signed, for example after a key was stolen."
)
@store_options
def rotate(settings: Settings, *, withdraw: bool, as_json: bool) -> None:
    """Sign with a new key from now on, in all processes of the store.

    Links that were sent stay valid. With --withdraw, they are refused from now on; `pauseflow show ID` prints new ones.
    """
    from pauseflow_nb.identity import identify_account

    queue = open_queue(settings)
    withdrawn = queue.rotate_keys(by=identify_account(), withdraw=withdraw)
    newest = queue.list_keys()[-1]
    if as_json:
        print_json({**newest, "withdrawn": withdrawn})
        return
    click.echo(f"key {newest['id']} signs from now on")
    if withdrawn:
        click.echo(
            "links that were sent before are refused: `pauseflow show ID` prints new ones for a waiting execution",
            err=True,
        )
    else:
        click.echo("links that were sent before stay valid", err=True)


@keys.command()
@click.argument("number", metavar="[KEY]", type=WholeNumberBetween(min=1), required=False)
@store_options
def export(settings: Settings, *, number: int | None, as_json: bool) -> None:
    """Print public keys as PEM, to verify signatures of this store.

    Without KEY, prints all keys that are not withdrawn, oldest first. Private keys never leave the store.
    """
    queue = open_queue(settings)
    chosen = {key["id"]: key for key in queue.list_keys() if number in (None, key["id"])}
    if number is None:
        chosen = {id_: key for id_, key in chosen.items() if key["state"] != "withdrawn"}
    pems = {id_: queue.public_key(id_) for id_ in chosen or [number or 0]}
    if as_json:
        print_json([{**key, "public_key": pems[id_]} for id_, key in chosen.items()])
        return
    for id_, pem in pems.items():
        # RFC 7468 allows explanatory text between the blocks of a PEM file.
        click.echo(f"Key {id_}, which {_describe_use(chosen[id_]['state'])}\n{pem}", nl=False)


@click.command()
@execution_argument
@store_options
def revoke(settings: Settings, *, execution: str, as_json: bool) -> None:
    """Refuse all existing links of an execution, and print new ones.

    What it waits for and its deadlines do not change. Nested executions get new links, too.
    """
    from pauseflow_nb.identity import identify_account

    queue = open_queue(settings)
    queue.revoke(execution, by=identify_account())
    print_execution(queue.view(execution), as_json=as_json)


def _describe_use(state: str) -> str:
    return "was withdrawn" if state == "withdrawn" else state


@click.command()
@click.option(
    "--older-than",
    metavar="SPAN",
    default="30d",
    show_default=True,
    help="Minimum time since an execution ended, such as 12h or 7d.",
)
@click.option("--dry-run", is_flag=True, help="List the executions that would be removed, and remove nothing.")
@store_options
def gc(settings: Settings, *, older_than: str, dry_run: bool, as_json: bool) -> None:
    """Remove executions that ended long ago, snapshot data that nothing uses, and files left by dead processes.

    Output notebooks stay, and so does everything that an execution needs that has not ended. With a remote store, this
    machine's cache of snapshots is trimmed, too.
    """
    from pauseflow_nb.durations import parse_duration
    from pauseflow_nb.engine.gc import clean
    from pauseflow_nb.engine.snapshot_cache import describe_cache

    span = parse_duration(older_than, what="--older-than")
    found = clean(open_queue(settings), older_than=span, dry_run=dry_run)
    if as_json:
        report = {"executions": list(found.executions), "files": found.files, "bytes": found.bytes, "dry_run": dry_run}
        print_json(report | ({} if found.cache is None else {"cache": vars(found.cache)}))
        return
    for execution in found.executions:
        print_lines(execution)
    count = len(found.executions)
    if dry_run:
        print_lines(f"would remove {_format_count(count, 'execution')}", err=True)
    else:
        what = f"{_format_count(count, 'execution')} and {_format_count(found.files, 'file')} that nothing needed"
        print_lines(f"removed {what}: {found.bytes / 1024**2:.1f} MiB", err=True)
    if found.cache is not None:
        print_lines(f"the cache of snapshots on this machine takes {describe_cache(found.cache)}", err=True)


def _format_count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
