"""`make audit-python` and `make audit-npm`: known vulnerabilities of what is installed; without a network it says so and ends well."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Audited", "main", "read_npm_audit", "read_pip_audit"]

_PANEL = Path(__file__).parent.parent / "labextension"


@dataclass(frozen=True)
class Audited:
    """What came of an audit."""

    #: How many packages were looked up.
    count: int
    #: One line for each vulnerability.
    vulnerable: list[str]
    #: Why some or all were not looked up; empty if all were.
    left_out: str = ""


def read_pip_audit(output: str, errors: str) -> Audited:
    """Read what `pip-audit --format json` printed, and what it said on standard error."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audited(0, [], f"nothing was looked up: {_last_line(errors)}")
    audited = [each for each in packages if "skip_reason" not in each]
    vulnerable = [
        f"{each['name']} {each['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'no version yet'}"
        for each in audited
        for found in each["vulns"]
    ]
    skipped = len(packages) - len(audited)
    return Audited(len(audited), vulnerable, f"{skipped} packages are not known to the index" if skipped else "")


def read_npm_audit(output: str, errors: str) -> Audited:
    """Read what `npm audit --json` printed, and what it said on standard error."""
    try:
        report: dict[str, Any] = json.loads(output)
        count: int = report["metadata"]["dependencies"]["total"]
        found: dict[str, dict[str, Any]] = report["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        return Audited(0, [], f"nothing was looked up: {_message_in(output) or _last_line(errors)}")
    return Audited(count, [f"{name} {each['range']}: {each['severity']}" for name, each in found.items()])


def _message_in(output: str) -> str:
    try:
        return str(json.loads(output)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _run(command: list[str], folder: Path | None = None) -> tuple[str, str]:
    # Colours and banners are for people.
    environment = {**os.environ, "NO_COLOR": "1", "NPM_CONFIG_UPDATE_NOTIFIER": "false"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "", f"{command[0]} is not installed"
    return done.stdout, done.stderr


def main(kind: str) -> int:
    """Audit, and print what came of it; returns the exit code: 1 if something is vulnerable."""
    if kind == "python":
        program = str(Path(sys.executable).with_name("pip-audit"))
        command = [program, "--local", "--skip-editable", "--progress-spinner", "off", "--format", "json"]
        audited = read_pip_audit(*_run(command))
    else:
        # Only what is built into the panel: the tools that build it run on no user's machine.
        audited = read_npm_audit(*_run(["npm", "audit", "--omit=dev", "--json", "--fetch-retries=1"], _PANEL))
    for line in audited.vulnerable:
        print(line)
    if audited.count:
        print(f"{kind}: {audited.count} packages looked up, {len(audited.vulnerable)} vulnerabilities")
    if audited.left_out:
        print(f"{kind}: {audited.left_out}")
    return 1 if audited.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
