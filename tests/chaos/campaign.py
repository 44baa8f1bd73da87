"""`make chaos`: many runs, each from a seed, in which whatever can go wrong does; exit code 1 on a violation."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from acceptance.forked import Nursery
from chaos.faults import can_mount, impossible
from chaos.plan import FAULTS, make_plan
from chaos.run import Outcome, run
from chaos.world import TOKEN, Ground
from postgresql_server import PostgreSQL, find_programs

__all__ = ["main", "open_ground"]

_ROOT = Path(__file__).parents[2]
_DATABASES = ("sqlite", "postgresql")


@contextmanager
def open_ground(folder: Path) -> Iterator[Ground]:
    """Start what all runs share: a PostgreSQL and an S3 server, and a process that forks commands.

    Args:
        folder: Where runs get their folders.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pauseflow-pg-", ignore_cleanup_errors=True)))
        binaries, postgresql = find_programs(), None
        if binaries is not None:
            postgresql = PostgreSQL(binaries, own)
            postgresql.start()
            stack.callback(postgresql.stop)
        os.environ["JUPYTER_TOKEN"] = TOKEN
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "chaos",
            "AWS_SECRET_ACCESS_KEY": "chaos",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        nursery = Nursery("pauseflow_nb.server.serve", "sqlalchemy.dialects.postgresql.psycopg")
        stack.callback(nursery.close)
        yield Ground(folder, nursery, postgresql, _open_s3(stack), can_mount=can_mount(folder / "mount"))


def _open_s3(stack: ExitStack) -> int | None:
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        return None
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    stack.callback(server.stop)
    return int(server.get_host_and_port()[1])


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many in all")
    parser.add_argument("--seed", type=int, help="of the first run; another one each time without it")
    parser.add_argument("--db", choices=_DATABASES, help="only this one; both in turn without it")
    parser.add_argument("--without", action="append", default=[], metavar="FAULT", choices=FAULTS)
    parser.add_argument("--executions", type=int, default=10, help="most executions in one run")
    parser.add_argument("--storage", choices=("folder", "s3"))
    parser.add_argument("--replay", type=int, metavar="SEED", help="do the run of this seed again")
    parser.add_argument("--findings", type=Path, default=_ROOT / "chaos-findings", help="where folders are kept")
    options = parser.parse_args(arguments)
    first = random.randrange(10**6) if options.seed is None else options.seed
    seeds = [options.replay] if options.replay is not None else range(first, first + options.runs)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also in the background, where a shell lets SIGINT be ignored: what was started must be ended.
        signal.signal(number, signal.default_int_handler)
    temporary = tempfile.TemporaryDirectory(prefix="pauseflow-chaos-", ignore_cleanup_errors=True)
    with temporary as folder, open_ground(Path(folder)) as ground:
        return _summary(_run_all(ground, seeds, options))


def _run_all(ground: Ground, seeds: Sequence[int], options: argparse.Namespace) -> list[Outcome]:
    left_out = impossible(ground)
    for kind, why in left_out.items():
        print(f"left out: {kind} ({why})")
    databases = [options.db] if options.db else [*_DATABASES]
    if ground.postgresql is None and "postgresql" in databases:
        print("left out: PostgreSQL (its programs are not installed)")
        databases = ["sqlite"]
    if ground.s3 is None:
        print("left out: files on S3 (the package moto is not installed)")
    print(f"seeds {seeds[0]} to {seeds[-1]}", flush=True)
    outcomes = []
    for number, seed in enumerate(seeds):
        chosen = databases if options.replay is not None else [databases[number % len(databases)]]
        for database in chosen:
            storage = options.storage or ("folder" if ground.s3 is None else None)
            without = {*options.without, *left_out}
            plan = make_plan(seed, database, without=without, most=options.executions, storage=storage)
            outcomes.append(run(ground, plan))
            _report(outcomes[-1], options.findings)
    return outcomes


def _report(outcome: Outcome, findings: Path) -> None:
    plan = outcome.plan
    faults = " ".join(f"{kind}*{times}" for kind, times in Counter(fault.kind for fault in plan.faults).items())
    found = f"{len(outcome.violations)} VIOLATIONS" if outcome.violations else "nothing"
    print(
        f"{plan.seed:>7} {plan.database:<10} {plan.storage:<6} {outcome.executions:>3} executions {outcome.answers:>4} answers "
        f"{outcome.interrupted:>2} interrupted {outcome.retried:>2} retried {outcome.seconds:>5.0f} s  {found}   {faults}",
        flush=True,
    )
    if not outcome.violations:
        return
    print("\n".join([str(plan), *outcome.timeline, *(f"VIOLATION {each}" for each in outcome.violations)]), flush=True)
    if outcome.folder is not None:
        kept = findings / outcome.folder.name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(outcome.folder, kept, ignore_dangling_symlinks=True, symlinks=True)
        (kept / "violations.txt").write_text("\n".join(outcome.violations) + "\n")
        print(f"kept in {kept}; once more: make chaos REPLAY={plan.seed} DB={plan.database}", flush=True)


def _summary(outcomes: list[Outcome]) -> int:
    for database in _DATABASES:
        mine = [outcome for outcome in outcomes if outcome.plan.database == database]
        bad = sum(bool(outcome.violations) for outcome in mine)
        count = sum(outcome.executions for outcome in mine)
        sent = sum(outcome.answers for outcome in mine)
        cut = sum(outcome.interrupted for outcome in mine)
        print(
            f"{database}: {len(mine)} runs, {count} executions, {sent} answers, {cut} interrupted segments, "
            f"{bad} runs with violations"
        )
    return int(any(outcome.violations for outcome in outcomes))


if __name__ == "__main__":
    _begun = time.monotonic()
    _code = main()
    print(f"{time.monotonic() - _begun:.0f} s")
    sys.exit(_code)
