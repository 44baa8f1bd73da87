"""What happens in one chaos run: all of it follows from a seed."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field

from chaos.notebooks import KINDS

__all__ = ["FAULTS", "Answers", "Fault", "Plan", "make_plan"]

#: Kind of a fault → how often it is chosen.
FAULTS = {
    "kill-worker": 4,
    "kill-kernel": 4,
    "kill-server": 2,
    "stop-worker": 2,
    "stop-kernel": 2,
    "stop-server": 1,
    "end-worker": 1,
    "restart-database": 2,
    "cut-database": 3,
    "break-storage": 2,
    "slow-storage": 2,
    "fill-disk": 1,
    "shift-clock": 1,
}
_ONLY_POSTGRESQL = {"restart-database", "cut-database", "shift-clock"}
_ONLY_S3 = {"break-storage", "slow-storage"}
#: Seconds from the first fault to the last.
_FAULT_SECONDS = 8.0


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    kind: str
    #: Seconds after the beginning.
    at: float
    #: How long it lasts, in seconds.
    seconds: float
    #: Chooses among those that it may hit, from 0 to 1.
    which: float


@dataclass(frozen=True)
class Answers:
    """What clients send to the links of one execution, as soon as these are known."""

    #: Seconds after the link is known, and action of each.
    sent: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Plan:
    """One run."""

    seed: int
    database: str
    storage: str
    workers: int
    #: Segments that one worker runs at once.
    at_once: int
    #: Whether the server runs a worker, too.
    server_works: bool
    #: Kind of each execution, and seconds after the beginning at which it starts.
    executions: tuple[tuple[str, float], ...]
    answers: tuple[Answers, ...]
    faults: tuple[Fault, ...]
    #: Whether a schedule starts notebooks meanwhile, and a URL that is called.
    has_triggers: bool
    left_out: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        where = f"seed {self.seed}: {self.database}, files on {self.storage}"
        who = f"{self.workers} workers with {self.at_once} segments each, {self.server_works=}, {self.has_triggers=}"
        lines = [
            f"{where}, {who}",
            "executions: " + ", ".join(f"{kind} at {at:.1f} s" for kind, at in self.executions),
            *(f"  {fault.at:5.1f} s {fault.kind} for {fault.seconds:.1f} s" for fault in self.faults),
        ]
        return "\n".join(lines)


def make_plan(
    seed: int, database: str, *, without: Collection[str] = (), most: int = 10, storage: str | None = None
) -> Plan:
    """Make the plan of a seed.

    Args:
        seed: What everything follows from.
        database: `"sqlite"` or `"postgresql"`.
        without: Kinds of faults that are left out, because this machine cannot do them or the caller says so.
        most: How many executions at most.
        storage: `"folder"` or `"s3"`; None: as the seed says.
    """
    chance = random.Random(f"{seed} {database}")
    where = "s3" if database == "postgresql" and chance.random() < 0.25 else "folder"
    where = storage or where
    kinds = [kind for kind in KINDS.values() if not kind.is_child]
    chosen = chance.choices(kinds, [kind.weight for kind in kinds], k=chance.randint(max(most // 2, 1), most))
    executions = tuple((kind.name, chance.choice((0.0, 0.0, chance.uniform(0, 5)))) for kind in chosen)
    possible = {
        kind: often
        for kind, often in FAULTS.items()
        if kind not in without
        and not (database == "sqlite" and kind in _ONLY_POSTGRESQL)
        and not (where == "folder" and kind in _ONLY_S3)
    }
    count = chance.randint(1, 6) if possible else 0
    faults = sorted(
        (
            Fault(kind, chance.uniform(0.2, _FAULT_SECONDS), chance.choice((0.3, 1.0, 2.0, 5.0)), chance.random())
            for kind in chance.choices(list(possible), list(possible.values()), k=count)
        ),
        key=lambda fault: fault.at,
    )
    return Plan(
        seed,
        database,
        where,
        workers=chance.randint(1, 3),
        at_once=chance.randint(1, 4),
        server_works=chance.random() < 0.2,
        executions=executions,
        answers=tuple(_answers(chance) for _ in range(50)),
        faults=tuple(faults),
        has_triggers=chance.random() < 0.4,
        left_out=tuple(kind for kind in FAULTS if kind not in possible),
    )


def _answers(chance: random.Random) -> Answers:
    """Choose how many come: mostly a few, sometimes none, sometimes very many."""
    count = chance.choice((0, 1, 1, 1, 2, 3, 5, chance.randint(6, 50)))
    cancels = chance.choice((0.0, 0.0, 0.0, 0.1, 0.5))
    sent = ((chance.choice((0.0, chance.uniform(0, 2.0))), _action(chance, cancels)) for _ in range(count))
    return Answers(tuple(sorted(sent)))


def _action(chance: random.Random, cancels: float) -> str:
    return "cancel" if chance.random() < cancels else "resume"
