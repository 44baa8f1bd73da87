"""Report how a snapshot would handle each variable, without writing it: `%pauseflow state`."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pauseflow_nb.kernel.snapshot.pickling.serialize import dump_namespace, type_name
from pauseflow_nb.kernel.snapshot.recovery import imports
from pauseflow_nb.kernel.snapshot.recovery.decide import decide
from pauseflow_nb.kernel.snapshot.storage.folder import open_folder
from pauseflow_nb.kernel.snapshot.storage.manifest import read_manifest
from pauseflow_nb.kernel.snapshot.user_names import find_user_names
from pauseflow_nb.protocol import SnapshotRef

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@dataclass(frozen=True)
class VariableReport:
    """A variable, and how it would be restored."""

    name: str
    type_name: str
    #: Its bytes in a snapshot, including shared memory.
    size: int
    #: Seconds to save it; before a save, only to pickle it, because writing depends on what is already stored.
    seconds: float
    #: `"restored"`, `"made again by %%setup"`, or the fate of what cannot be saved: `"left out"`, `"replayed"`, `"lost"`;
    #: for a kernel-bound execution also `"kept with its kernel"`.
    fate: str
    #: Why it cannot be saved; empty if it can.
    reason: str = ""


def describe(
    shell: "InteractiveShell",
    *,
    remade: frozenset[str] = frozenset(),
    coming: Mapping[str, str] | None = None,
) -> list[VariableReport]:
    """Report how a save would handle every variable, largest first."""
    reports = [VariableReport(n, type_name(shell.user_ns[n]), 0, 0.0, "made again by %%setup") for n in sorted(remade)]
    names = [name for name in find_user_names(shell) if name not in remade]
    imported = imports.find(shell, names)
    reports += [VariableReport(n, type_name(shell.user_ns[n]), 0, 0.0, "restored") for n in imported]
    refused = {}
    for name in names:
        if name in imported:
            continue
        began = time.perf_counter()
        dumped = dump_namespace(shell.user_ns, [name], shell)
        seconds = time.perf_counter() - began
        refused.update(dumped.refused)
        if name not in dumped.refused:
            size, _ = dumped.costs[name]
            reports.append(VariableReport(name, type_name(shell.user_ns[name]), size, seconds, "restored"))
    saved = {name for name in names if name not in refused}
    decided = decide(shell, refused, coming=coming, passed={}, saved=saved, remade=set(remade))
    reports += [VariableReport(u.name, u.type_name, 0, 0.0, u.fate, u.reason) for u in decided.unsaved]
    return sorted(reports, key=lambda report: (-report.size, report.name))


def make_rows(reports: Iterable[VariableReport]) -> list[tuple[str, str, str, str, str]]:
    """Write reports as rows of a table, with a heading."""
    rows = [("VARIABLE", "TYPE", "SIZE", "TIME", "COMES BACK")]
    for each in reports:
        fate = f"{each.fate}: {each.reason}" if each.reason else each.fate
        name, kind = _join_lines(each.name), _join_lines(each.type_name)
        rows.append((name, kind, _format_size(each.size), _format_time(each.seconds), _join_lines(fate)))
    return rows


def _join_lines(text: str) -> str:
    # Names and types set by cells may contain any text, also control sequences of terminals.
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _format_size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _format_time(seconds: float) -> str:
    if 0 < seconds < 0.000_05:
        return "< 0.1 ms"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def describe_saved(folder: str, ref: SnapshotRef) -> list[VariableReport]:
    """Report the contents of a snapshot, largest first, without loading them."""
    manifest = read_manifest(open_folder(folder), ref)
    reports = [VariableReport(n, v.type_name, v.size, v.seconds, "restored") for n, v in manifest.variables.items()]
    reports += [VariableReport(n, "", 0, 0.0, "restored") for n in manifest.references]
    reports += [VariableReport(n, "", 0, 0.0, "made again by %%setup") for n in manifest.remade]
    for unsaved in manifest.unsaved:
        facts = {key: unsaved[key] for key in ("name", "type_name", "fate", "reason")}
        reports.append(VariableReport(size=0, seconds=0.0, **facts))
    return sorted(reports, key=lambda report: (-report.size, report.name))
