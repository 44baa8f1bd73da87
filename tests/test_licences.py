"""The licences of all that is installed or built in with pauseflow_nb, as `docs/licences.md` lists them."""

import json
import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")

#: Whoever gets our package may do with these what its own licence allows.
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "CC-BY-4.0", "ISC", "MIT", "MIT-0", "OFL-1.1", "PSF-2.0", "Unlicense",
}  # fmt: skip
#: These ask something of who changes the package itself, and nothing of who uses it.
OF_THEIR_OWN_FILES = {"MPL-2.0"}
#: These must stay libraries that one can replace, as every installed package is.
OF_LIBRARIES = {"LGPL-3.0-only"}
#: The only ones of that kind: DBOS brings them.
LIBRARIES = {"psycopg", "psycopg-binary", "psycopg-c"}

#: What packages write that name no SPDX identifier: the words of a classifier, or of the old field `License`.
_WORDS = {
    "apache 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "isc license": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "psfl": "PSF-2.0",
}


def licence_of(package: Distribution) -> set[str]:
    """The SPDX identifiers of a package; of `A OR B` the ones that are permissive, if there are any."""
    metadata = package.metadata
    classifiers = [
        each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier") or [] if each.startswith("License ::")
    ]
    field = next(iter(metadata.get_all("License") or [""])).strip().splitlines()
    licences = [metadata["License-Expression"]] if "License-Expression" in metadata else [*field[:1], *classifiers]
    for text in licences:
        found = identifiers(_WORDS.get(text.lower(), text))
        if found:
            return found
    return set(licences) or {"says nothing"}


def identifiers(expression: str) -> set[str]:
    """Read an SPDX expression; empty if it is none."""
    known = PERMISSIVE | OF_THEIR_OWN_FILES | OF_LIBRARIES
    choices = [set(re.split(r"\s+AND\s+", choice)) for choice in re.split(r"\s+OR\s+", expression.strip("() "))]
    good = [choice for choice in choices if choice <= known]
    return min(good, key=lambda choice: len(choice - PERMISSIVE), default=set())


def requirements(*extras: str) -> list[Requirement]:
    """What we ask for by name."""
    asked = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return [Requirement(line) for line in asked]


def closure(asked: list[Requirement]) -> dict[str, Distribution]:
    """Everything that is installed with these, by name; what is not installed here is left out."""
    found: dict[str, Distribution] = {}
    left = list(asked)
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            further = Requirement(line)
            environments = [{"extra": extra} for extra in ("", *requirement.extras)]
            if further.marker is None or any(further.marker.evaluate(each) for each in environments):
                left.append(further)
    return found


def listed(title: str) -> dict[str, str]:
    """The rows of one table of the page: name → licence."""
    (section,) = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", section, re.MULTILINE))


def test_each_package_that_we_ask_for_is_listed_with_its_licence() -> None:
    names = {canonicalize_name(each.name): each.name for each in requirements(*PROJECT["optional-dependencies"])}
    here = {name: package for name in names if (package := _installed(name)) is not None}

    rows = listed("Python packages")
    assert set(rows) == set(names)
    assert {name: rows[name] for name in here} == {
        name: " and ".join(sorted(licence_of(each))) for name, each in here.items()
    }


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def test_all_that_is_installed_with_us_may_be_used_by_everybody() -> None:
    packages = closure(requirements("postgresql", "notify", "jupyterhub"))
    others = {name for name, each in packages.items() if not licence_of(each) <= PERMISSIVE | OF_THEIR_OWN_FILES}

    assert len(packages) > 50
    assert others <= LIBRARIES


def npm_packages() -> dict[str, dict[str, Any]]:
    """What the panel's own code may hold: all that is no tool of its building."""
    lock = json.loads((ROOT / "labextension" / "package-lock.json").read_text(encoding="utf-8"))
    return {path: each for path, each in lock["packages"].items() if path and not each.get("dev")}


def test_all_that_the_panel_is_built_on_may_be_used_by_everybody() -> None:
    silent = {path.rpartition("node_modules/")[2] for path, each in npm_packages().items() if not each.get("license")}
    strict = {
        path.rpartition("node_modules/")[2]: each["license"]
        for path, each in npm_packages().items()
        if (each.get("license") and not identifiers(each["license"]) <= PERMISSIVE)
        or not identifiers(each.get("license", "MIT"))
    }
    rows = listed("npm packages that need a word")

    assert silent | set(strict) == set(rows)
    assert {name: rows[name] for name in strict} == strict


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("MIT", {"MIT"}),
        ("Apache-2.0 AND BSD-2-Clause", {"Apache-2.0", "BSD-2-Clause"}),
        ("GPL-3.0-only OR MIT", {"MIT"}),
        ("(MPL-2.0 OR Apache-2.0)", {"Apache-2.0"}),
        ("GPL-3.0-only", set()),
        ("MIT AND GPL-3.0-only", set()),
    ],
)
def test_an_expression_is_read_as_spdx_means_it(expression: str, found: set[str]) -> None:
    assert identifiers(expression) == found
