"""Define `pauseflow verify`, which compares an executed notebook with the decision records in it."""

import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.options import open_queue, print_json, print_lines, store_options
from pauseflow_nb.errors import InvalidNotebook, InvalidValue
from pauseflow_nb.printable import printable_lines
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\n?", re.DOTALL)


@click.command()
@click.argument("notebook", metavar="OUT.ipynb")
@click.option("--key", "key_file", metavar="FILE", help="Public keys as PEM, from `pauseflow keys export`.")
@click.option("--store", "from_store", is_flag=True, help="Use the keys of the store, and compare with its records.")
@store_options
def verify(settings: Settings, *, notebook: str, key_file: str | None, from_store: bool, as_json: bool) -> None:
    """Check that an executed notebook has not changed since its decisions.

    Names every cell, output, question, answer and record that was changed, moved, added or removed since. Without --key
    the keys of the store on this machine are used. Exit codes: 0 nothing was changed, 1 something was, 2 usage.
    """
    from pauseflow_nb.cli.terminal import describe_record
    from pauseflow_nb.decisions.verification import verify as compare

    if key_file is not None and from_store:
        raise click.UsageError("--key and --store cannot be combined: with --key, the store is not read")
    document = _read(notebook)
    id_ = _read_execution(document)
    not_executed = f"verify takes the executed notebook, OUT: {notebook} names no execution"
    if from_store and not id_:
        raise click.UsageError(not_executed)
    if key_file is not None:
        result = compare(document, _read_keys(key_file))
    else:
        queue = open_queue(settings)
        pems = [queue.public_key(key["id"]) for key in queue.list_keys()]
        recorded, unwritten = (queue.decisions(id_), queue.count_unwritten_decisions(id_)) if from_store else (None, 0)
        result = compare(document, _parse("".join(pems)), recorded=recorded, unwritten=unwritten)
    if as_json:
        print_json(
            {
                "valid": result.is_valid,
                "problems": result.problems,
                "notes": result.notes,
                "decisions": [statement.to_json()["predicate"] for statement in result.statements],
            }
        )
    else:
        for statement in result.statements:
            print_lines(describe_record(statement.summarize(), says_unseen=True))
        for problem in result.problems:
            print_lines(printable_lines(f"✗ {problem}", indent="  "), err=True)
        if not id_:
            print_lines(f"  {not_executed}", err=True)
        for line in result.notes:
            print_lines(printable_lines(f"  {line}", indent="  "), err=True)
        if result.is_valid:
            print_lines(f"✓ {notebook} is what was decided on: nothing was changed since")
    sys.exit(0 if result.is_valid else 1)


def _read(notebook: str) -> dict[str, Any]:
    from pauseflow_nb.runner.notebook_file import read_text

    text = read_text(notebook)
    try:
        document = _parse_strictly(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidNotebook(notebook, f"it cannot be read as JSON ({problem})") from None
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise InvalidNotebook(notebook, "it has no list of cells")
    if not isinstance(document.get("metadata"), dict):
        raise InvalidNotebook(notebook, "it has no metadata")
    return document


def _parse_strictly(text: str) -> Any:
    """Read JSON that every program reads alike: another reading could show what was not compared."""

    def refuse(number: str) -> float:
        raise ValueError(f"{number} is not a number of JSON")

    def read_float(number: str) -> float:
        return found if math.isfinite(found := float(number)) else refuse(number)

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            name = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
            raise ValueError(f"the name {name!r} comes twice in one object")
        return found

    return json.loads(text, parse_constant=refuse, parse_float=read_float, object_pairs_hook=read_object)


def _read_execution(document: dict[str, Any]) -> str:
    found = document.get("metadata", {}).get("pauseflow")
    return str(found.get("execution", "")) if isinstance(found, dict) else ""


def _read_keys(file: str) -> "list[Ed25519PublicKey]":
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise InvalidValue("--key", file, f"cannot be read: {problem}") from None
    found = _parse(text)
    if not found:
        raise InvalidValue("--key", file, "holds no public Ed25519 key as PEM: `pauseflow keys export` writes one")
    return found


def _parse(text: str) -> "list[Ed25519PublicKey]":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found = []
    for block in _PEM.findall(text):
        try:
            key = load_pem_public_key(block.encode())
        except ValueError:
            continue
        if isinstance(key, Ed25519PublicKey):
            found.append(key)
    return found
