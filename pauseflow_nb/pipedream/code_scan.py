"""Find in the code of a step what it needs: packages, environment variables, fields of accounts."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator

__all__ = ["find_account_fields", "find_environment", "find_npm_packages", "find_python_packages"]

#: Modules whose package has another name.
_PACKAGES = {
    "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "docx": "python-docx", "dotenv": "python-dotenv", "fitz": "pymupdf", "googleapiclient": "google-api-python-client",
    "jwt": "PyJWT", "magic": "python-magic", "PIL": "pillow", "psycopg2": "psycopg2-binary", "serial": "pyserial",
    "sklearn": "scikit-learn", "telegram": "python-telegram-bot", "yaml": "pyyaml",
}  # fmt: skip
_OURS = frozenset({"pauseflow_nb", "pipedream"})
_ADD_PACKAGE = re.compile(r"^\s*#\s*pipedream\s+add-package\s+(\S+)\s*$", re.MULTILINE)
_SCRIPT_BLOCK = re.compile(r"^# /// script\s*$\n((?:^#(?: .*)?$\n)+?)^# ///\s*$", re.MULTILINE)
_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9._-]+")

_JS_COMMENT = re.compile(r"/\*[^]*?\*/".replace("[^]", r"[\s\S]") + r"|(?<![:'\"`\\])//[^\n]*")
_JS_IMPORT = re.compile(
    r"""\bimport\s*(?:[\w$*{}\s,]+?\bfrom\s*)?["']([^"'\n]+)["']|\b(?:import|require)\s*\(\s*["']([^"'\n]+)["']\s*\)"""
    r"""|\bexport\s+[\w$*{}\s,]+?\bfrom\s*["']([^"'\n]+)["']"""
)
_NPM = re.compile(r"((?:@[\w.~-]+/)?[\w.~-]+)(?:@([^/]+))?(?:/.*)?$")
_NODE_MODULES = frozenset(
    [
        "assert",
        "async_hooks",
        "buffer",
        "child_process",
        "cluster",
        "console",
        "constants",
        "crypto",
        "dgram",
        "diagnostics_channel",
        "dns",
        "domain",
        "events",
        "fs",
        "http",
        "http2",
        "https",
        "inspector",
        "module",
        "net",
        "os",
        "path",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "repl",
        "stream",
        "string_decoder",
        "timers",
        "tls",
        "trace_events",
        "tty",
        "url",
        "util",
        "v8",
        "vm",
        "wasi",
        "worker_threads",
        "zlib",
    ]
)
_OF_PIPEDREAM = frozenset({"@pipedream/platform", "@pipedreamhq/platform"})

_ENVIRONMENT = re.compile(
    r"""\bprocess\.env\.([A-Za-z_]\w*)|\bprocess\.env\[\s*["'](\w+)["']\s*\]"""
    r"""|\bos\.environ\[\s*["'](\w+)["']\s*\]|\bos\.(?:environ\.get|getenv)\(\s*["'](\w+)["']"""
)
_JS_FIELD = re.compile(r"""\b(\w+)\??\.\$auth\??(?:\.(\w+)|\[\s*["'](\w+)["']\s*\])""")
_JS_FIELDS = re.compile(r"""\{([\w\s,:]+)\}\s*=\s*this\.(\w+)\.\$auth""")
_PYTHON_FIELD = re.compile(
    r"""inputs(?:\[\s*["'](\w+)["']\s*\]|\.(\w+))\[\s*["']\$auth["']\s*\](?:\[\s*["'](\w+)["']\s*\]|\.get\(\s*["'](\w+)["'])"""
)


def find_python_packages(code: str) -> list[str]:
    """Return what pip must install for a step in Python, as lines of `requirements.txt`.

    Raises:
        SyntaxError: If it is no Python.
    """
    tree = ast.parse(code)
    modules = {name.partition(".")[0]: line for name, line in _imported(tree)}
    named = {_ADD_PACKAGE.match(text): number for number, text in enumerate(code.splitlines(), start=1)}
    stated = {number: match[1] for match, number in named.items() if match is not None}
    stated |= {-number: line for number, line in enumerate(_read_script_block(code), start=1)}
    for number in stated:
        # The comment stands above the import whose package it names.
        nearest = min((line for line in modules.values() if line > number > 0), default=None)
        modules = {name: line for name, line in modules.items() if line != nearest}
    known = {_requirement_name(line) for line in stated.values()}
    installed = [
        _PACKAGES.get(name, name) for name in modules if name not in sys.stdlib_module_names and name not in _OURS
    ]
    return [*stated.values(), *(name for name in installed if _requirement_name(name) not in known)]


def find_npm_packages(code: str) -> tuple[dict[str, str], list[str]]:
    """Return the npm packages that a step in JavaScript imports, each with its version, and the files that it imports."""
    packages: dict[str, str] = {}
    files: list[str] = []
    for match in _JS_IMPORT.finditer(_JS_COMMENT.sub("", code)):
        name = next(group for group in match.groups() if group)
        if name.startswith((".", "/")):
            files.append(name)
        elif not name.startswith("node:") and ":" not in name and (found := _NPM.match(name)):
            package = found[1]
            if package not in _NODE_MODULES and package not in _OF_PIPEDREAM:
                packages[package] = found[2] or packages.get(package, "*")
    return packages, files


def find_environment(text: str) -> list[str]:
    """Return the names of the environment variables that code or a template reads."""
    return list(dict.fromkeys(name for match in _ENVIRONMENT.finditer(text) for name in match.groups() if name))


def find_account_fields(code: str) -> dict[str, list[str]]:
    """Return the fields of each account that a step reads, such as `{"slack": ["oauth_access_token"]}`."""
    found: dict[str, dict[str, None]] = {}
    for match in _JS_FIELD.finditer(code):
        found.setdefault(match[1], {})[match[2] or match[3]] = None
    for match in _JS_FIELDS.finditer(code):
        for name in match[1].split(","):
            if field := name.partition(":")[0].strip():
                found.setdefault(match[2], {})[field] = None
    for match in _PYTHON_FIELD.finditer(code):
        found.setdefault(match[1] or match[2], {})[match[3] or match[4]] = None
    return {name: list(fields) for name, fields in found.items()}


def _imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def _read_script_block(code: str) -> Iterable[str]:
    """Return the dependencies of PEP 723's block."""
    match = _SCRIPT_BLOCK.search(code)
    if match is None:
        return []
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in match[1].splitlines())
    try:
        lines = tomllib.loads(text).get("dependencies", [])
    except tomllib.TOMLDecodeError:
        return []
    return [line for line in lines if isinstance(line, str)]


def _requirement_name(line: str) -> str:
    match = _REQUIREMENT_NAME.match(line)
    return re.sub(r"[-_.]+", "-", match[0] if match else line).lower()
