#!/bin/sh
# Use the wheel in dist/ as somebody would who has just installed it: in an empty environment of each promised Python
# that this machine has, with nothing else in it. Says which versions it leaves out.
set -eu

wheel=$(ls dist/pauseflow_nb-*.whl)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export JUPYTER_CONFIG_DIR="$folder/config" JUPYTER_DATA_DIR="$folder/data" PAUSEFLOW_DATA_DIR="$folder/store"

find_python() {
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null && echo "$candidate" && return
  done
  return 1
}

cat >"$folder/first.ipynb" <<'NOTEBOOK'
{"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
 "cells": [
  {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": null,
   "source": "from pauseflow_nb import flow, steps\nlot = list(range(1000))"},
  {"cell_type": "code", "id": "b", "metadata": {}, "outputs": [], "execution_count": null,
   "source": "%%step ask\nflow.suspend(title='Go on?')"},
  {"cell_type": "code", "id": "c", "metadata": {}, "outputs": [], "execution_count": null,
   "source": "%%step use\nflow.export('sum', sum(lot))"}]}
NOTEBOOK

for version in 3.11 3.12 3.13; do
  if ! python=$(find_python "$version"); then
    echo "left out: the wheel on Python $version (not on this machine)"
    continue
  fi
  bin="$folder/$version/bin"
  "$python" -m venv "$folder/$version"
  begun=$(date +%s)
  "$bin/pip" install --quiet "$wheel"
  execution=$("$bin/pauseflow" run "$folder/first.ipynb" "$folder/$version.ipynb" --until-pause --json 2>/dev/null |
    "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["id"])') || [ -n "$execution" ]
  "$bin/pauseflow" resume "$execution" --wait --json 2>/dev/null |
    "$bin/python" -c 'import json, sys; assert json.load(sys.stdin)["steps"]["use"]["exports"]["sum"] == 499500'
  echo "Python $version: installed, paused and resumed in $(($(date +%s) - begun)) s"
  "$bin/jupyter" server extension list 2>&1 | grep -q "pauseflow_nb.*OK"
  test -f "$folder/$version/share/jupyter/labextensions/pauseflow-nb/package.json"
done

"$bin/pip" install --quiet jupyterlab
for extension in pauseflow-nb @jupyter-widgets/jupyterlab-manager; do
  "$bin/jupyter" labextension list 2>&1 | grep "$extension.*enabled.*OK"
done
ls -l dist | awk 'NR > 1 { printf "%s: %.1f MB\n", $9, $5 / 1e6; if ($5 > 3e6) { print "larger than 3 MB: what was packed that should not be?"; exit 1 } }'
