#!/bin/sh
# Test what depends on the version of Python on each promised one that this machine has beside the one of .venv. `make test`
# runs what compiles cells and pickles values, and `make test-slow` all tests of the kernel's side, snapshots and the
# store, except those of PostgreSQL. Says which versions it leaves out.
#
#   pythons.sh prepare     make an environment for each, quietly
#   pythons.sh test        prepare, then run the tests
#   pythons.sh test-slow   prepare, then run all of them

promised="3.11 3.12 3.13"
folders="tests/kernel tests/kernel_snapshot tests/store tests/test_cells.py tests/test_protocol.py"
compiled="tests/test_cells.py tests/kernel/test_kernel_cells.py tests/kernel/test_kernel_handler.py tests/kernel/test_kernel_attempts.py"
pickled="tests/kernel_snapshot/test_snapshot_types.py tests/kernel_snapshot/test_snapshot_contract.py tests/kernel_snapshot/test_snapshot_unfinished.py"

# What `python3.12` on the PATH is may be a stand-in of pyenv that only says that no such version is selected.
find_python() {
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null && echo "$candidate" && return
  done
  return 1
}

prepare() {
  stamp=".venv-$1/.test"
  [ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ] && return
  "$2" -m venv ".venv-$1" && ".venv-$1/bin/python" -m pip install --quiet --upgrade 'pip>=25.1' &&
    ".venv-$1/bin/python" -m pip install --quiet --no-compile -e '.[examples]' --group core && touch "$stamp"
}

status=0
own=$(.venv/bin/python -c "import sys; print('%d.%d' % sys.version_info[:2])")
for version in $promised; do
  [ "$version" = "$own" ] && continue
  if ! python=$(find_python "$version"); then
    [ "$1" = prepare ] || echo "left out: tests of the kernel's side on Python $version (not on this machine)"
    continue
  fi
  # Two at once would write the same files: the one that comes second waits.
  if ! { flock 9 && prepare "$version" "$python"; } 9>".venv/.python-$version" >".venv/python-$version.log" 2>&1; then
    [ "$1" = prepare ] || { echo "left out: tests on Python $version, whose packages cannot be installed:"; tail -n 3 ".venv/python-$version.log"; }
    continue
  fi
  case "$1" in
  test)
    where="$compiled $pickled"
    which="not slow and not thorough"
    ;;
  test-slow)
    where=$folders
    which="slow or not slow" # all
    ;;
  *) continue ;;
  esac
  echo "== tests of $where on Python $version"
  # Two are enough: these tests rarely wait, and each that runs beside others imports and collects all again.
  # shellcheck disable=SC2086 - a list of folders
  TMPDIR=$(sh tests/folder.sh) ".venv-$version/bin/pytest" -q -n 2 --dist worksteal -m "($which) and not hub and not postgresql" $where || status=1
done
exit $status
