"""Commands on the keys of a store, and the one that makes the links of an execution invalid."""

import click

from pauseflow_nb.cli.completion import execution_argument
from pauseflow_nb.cli.options import json_option, open_queue, print_execution, print_json, settings_options
from pauseflow_nb.settings import Settings

__all__ = ["keys", "revoke"]


@click.group()
def keys() -> None:
    """List, rotate and export the keys that sign links, snapshots and decisions."""


@keys.command("list")
@json_option
@settings_options
def list_(settings: Settings, *, as_json: bool) -> None:
    """List the keys: the newest signs, older ones verify, withdrawn ones do neither."""
    from pauseflow_nb.cli.terminal import table

    found = open_queue(settings).list_keys()
    if as_json:
        print_json(found)
        return
    rows = [
        (str(key["id"]), key["state"], key["created_at"][:19].replace("T", " "), f"SHA256:{key['fingerprint']}")
        for key in found
    ]
    click.echo(table([("KEY", "STATE", "CREATED (UTC)", "FINGERPRINT OF THE PUBLIC KEY"), *rows]))


@keys.command()
@click.option("--withdraw", is_flag=True, help="Refuse all links that older keys signed: for a key that was stolen.")
@json_option
@settings_options
def rotate(settings: Settings, *, withdraw: bool, as_json: bool) -> None:
    """Sign with a new key from now on, in all processes of the store.

    Links that were sent out stay valid. With --withdraw they are refused from now on; `pauseflow show ID` prints new ones.
    """
    from pauseflow_nb.identity import account

    queue = open_queue(settings)
    withdrawn = queue.rotate_keys(by=account(), withdraw=withdraw)
    newest = queue.list_keys()[-1]
    if as_json:
        print_json({**newest, "withdrawn": withdrawn})
        return
    click.echo(f"key {newest['id']} signs from now on")
    if withdrawn:
        click.echo(
            "links that were sent out before are refused: `pauseflow show ID` prints new ones for what waits", err=True
        )
    else:
        click.echo("links that were sent out before stay valid", err=True)


@keys.command()
@click.argument("number", metavar="[KEY]", type=click.IntRange(min=1), required=False)
@json_option
@settings_options
def export(settings: Settings, *, number: int | None, as_json: bool) -> None:
    """Print public keys as PEM, with which anybody can verify what this store signed.

    Without KEY all that are not withdrawn, oldest first. Private keys never leave the store.
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
        # Text between the blocks of a PEM file is explanation (RFC 7468).
        click.echo(f"Key {id_}, which {_does(chosen[id_]['state'])}\n{pem}", nl=False)


@click.command()
@execution_argument
@json_option
@settings_options
def revoke(settings: Settings, *, execution: str, as_json: bool) -> None:
    """Refuse all links of an execution that exist; those that are printed now are new.

    What it waits for, and until when, does not change. Notebooks that wait below it get new links, too.
    """
    from pauseflow_nb.identity import account

    queue = open_queue(settings)
    queue.revoke(execution, by=account())
    print_execution(queue.view(execution), as_json=as_json)


def _does(state: str) -> str:
    return "was withdrawn" if state == "withdrawn" else state
