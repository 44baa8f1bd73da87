"""Find in the code of a step what it needs: packages, environment variables, fields of accounts."""

import ast
import bisect
import itertools
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator

#: Modules whose package has another name.
_PACKAGES = {
    "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "docx": "python-docx", "dotenv": "python-dotenv", "fitz": "pymupdf", "googleapiclient": "google-api-python-client",
    "jwt": "PyJWT", "magic": "python-magic", "PIL": "pillow", "psycopg2": "psycopg2-binary", "serial": "pyserial",
    "sklearn": "scikit-learn", "telegram": "python-telegram-bot", "yaml": "pyyaml",
}  # fmt: skip
_OURS = frozenset({"pauseflow_nb", "pipedream"})
_ADD_PACKAGE = re.compile(r"^\s*#\s*pipedream\s+add-package\s+(\S+)\s*$", re.MULTILINE)
#: A plain name with a version: no option of pip, no address, no path.
_REQUIREMENT = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}))(?:\[[A-Za-z0-9._, -]{1,100}\])?(?: ?(?:[<>=!~]=|===|[<>]) ?[\w.*+!-]{1,50},?){0,9}",
    re.ASCII,
)

# None of these may look at the same character again and again: code from outside can be made to take hours.
_JS_COMMENT = re.compile(r"/\*[\s\S]*?(?:\*/|\Z)|(?<![:'\"`\\])//[^\n]*")
_JS_CALL = re.compile(
    r"""\b(?:import|require)\s*\(\s*["']([^"'\n]{1,300})["']\s*\)|\bimport\s*["']([^"'\n]{1,300})["']"""
)
_JS_FROM = re.compile(r"""\bfrom\s*["']([^"'\n]{1,300})["']""")
#: What stands between `import` or `export` and `from`.
_JS_NAMES = re.compile(r"[\w$*{}\s,]*")
_LONGEST_NAMES = 4000
_NPM = re.compile(r"((?:@[\w.~-]+/)?[\w.~-]+)(?:@([\w.^~*<>=| -]+))?(?:/.*)?", re.ASCII)
_NODE_MODULES = frozenset({
    "assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram",
    "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net",
    "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder",
    "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
})  # fmt: skip
_OF_PIPEDREAM = frozenset({"@pipedream/platform", "@pipedreamhq/platform"})

_ENVIRONMENT = re.compile(
    r"""\bprocess\.env\.([A-Za-z_]\w*)|\bprocess\.env\[\s*["'](\w+)["']\s*\]"""
    r"""|\bos\.environ\[\s*["'](\w+)["']\s*\]|\bos\.(?:environ\.get|getenv)\(\s*["'](\w+)["']""",
    re.ASCII,
)
_JS_FIELD = re.compile(r"""\b(\w+)\??\.\$auth\??(?:\.(\w+)|\[\s*["'](\w+)["']\s*\])""")
_JS_FIELDS = re.compile(r"""\{([\w\s,:]+)\}\s*=\s*this\.(\w+)\.\$auth""")
_PYTHON_FIELD = re.compile(
    r"""inputs(?:\[\s*["'](\w+)["']\s*\]|\.(\w+))\[\s*["']\$auth["']\s*\](?:\[\s*["'](\w+)["']\s*\]|\.get\(\s*["'](\w+)["'])"""
)


def find_python_packages(code: str) -> tuple[list[str], list[str]]:
    """Return what pip must install for a step in Python.

    Returns:
        Lines of `requirements.txt`, and what the code names that is not a plain name of a package.

    Raises:
        SyntaxError: If it is not Python.
        ValueError: If Python cannot parse it for another reason.
    """
    try:
        imported = sorted(_list_imports(ast.parse(code)))
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None
    named = {
        number: match[1]
        for number, line in enumerate(code.splitlines(), start=1)
        if (match := _ADD_PACKAGE.match(line))
    }
    lines = [line for line, _ in imported]
    # The comment stands above the import whose package it names.
    explained = {lines[at] for number in named if (at := bisect.bisect(lines, number)) < len(lines)}
    modules = dict.fromkeys(name.partition(".")[0] for line, name in imported if line not in explained)
    stated = [*named.values(), *_read_script_block(code)]
    known = {_parse_requirement(line) for line in stated}
    installed = [
        _PACKAGES.get(name, name) for name in modules if name not in sys.stdlib_module_names and name not in _OURS
    ]
    found = [*stated, *(name for name in installed if _parse_requirement(name) not in known)]
    refused = [line for line in found if _REQUIREMENT.fullmatch(line) is None]
    return [line for line in found if line not in refused], refused


def find_npm_packages(code: str) -> tuple[dict[str, str], list[str]]:
    """Return the npm packages that a step in JavaScript imports, each with its version, and the files that it imports."""
    packages: dict[str, str] = {}
    files: list[str] = []
    for name in _list_js_imports(_JS_COMMENT.sub("", code)):
        if name.startswith((".", "/")):
            files.append(name)
        elif not name.startswith("node:") and ":" not in name and (found := _NPM.fullmatch(name)):
            package = found[1]
            if package not in _NODE_MODULES and package not in _OF_PIPEDREAM:
                packages[package] = found[2] or packages.get(package, "*")
    return packages, files


def _list_js_imports(code: str) -> Iterator[str]:
    found = {match.start(): match[1] or match[2] for match in _JS_CALL.finditer(code)}
    for match in _JS_FROM.finditer(code):
        before = code[max(0, match.start() - _LONGEST_NAMES) : match.start()]
        at = max(before.rfind("import"), before.rfind("export"))
        if at >= 0 and _JS_NAMES.fullmatch(before, at + len("import")):
            found[match.start()] = match[1]
    for start in sorted(found):
        yield found[start]


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


def _list_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def _read_script_block(code: str) -> Iterable[str]:
    """Return the dependencies of PEP 723's block."""
    lines = iter(code.splitlines())
    if not any(line.rstrip() == "# /// script" for line in lines):
        return []
    block = itertools.takewhile(lambda line: line.startswith("#") and line.rstrip() != "# ///", lines)
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in block)
    try:
        named = tomllib.loads(text).get("dependencies", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    return [line for line in named if isinstance(line, str)] if isinstance(named, list) else []


def _parse_requirement(line: str) -> str:
    match = _REQUIREMENT.match(line)
    return re.sub(r"[-_.]+", "-", match[1] if match else line).lower()
