"""What `make audit` makes of the answers of pip-audit and npm, and of none."""

import json

from audit import read_npm_audit, read_pip_audit


def test_vulnerable_python_packages_are_named_with_the_version_that_mends_them() -> None:
    report = {
        "dependencies": [
            {"name": "good", "version": "1", "vulns": []},
            {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]},
            {"name": "ours", "skip_reason": "not on the index"},
        ]
    }

    audited = read_pip_audit(json.dumps(report), "")

    assert audited.count == 2
    assert audited.vulnerable == ["bad 2: PYSEC-1, fixed in 2.1"]
    assert audited.left_out == "1 packages are not known to the index"


def test_without_a_network_pip_audit_looked_nothing_up() -> None:
    audited = read_pip_audit("", "Traceback\nConnectionError: no route to host")

    assert (audited.count, audited.vulnerable) == (0, [])
    assert audited.left_out == "nothing was looked up: ConnectionError: no route to host"


def test_vulnerable_npm_packages_are_named() -> None:
    found = {"marked": {"range": "<4.0.10", "severity": "high"}}
    report = {"metadata": {"dependencies": {"total": 280}}, "vulnerabilities": found}

    audited = read_npm_audit(json.dumps(report), "")

    assert (audited.count, audited.vulnerable, audited.left_out) == (280, ["marked <4.0.10: high"], "")


def test_without_a_registry_npm_looked_nothing_up() -> None:
    answer = json.dumps({"message": "request failed, reason: getaddrinfo ENOTFOUND", "error": {}})

    assert read_npm_audit(answer, "").left_out == "nothing was looked up: request failed, reason: getaddrinfo ENOTFOUND"
    assert read_npm_audit("", "npm: command not found").left_out == "nothing was looked up: npm: command not found"
