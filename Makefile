# What each target needs is set up by the target itself; only git, make and Python 3.11 or later are taken for granted.

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(if $(shell $(p) -c \
	'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo ok),$(p))))
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# REPO may hold credentials and spaces: it reaches the command through the environment, never through a shell's words.
export INGEST_REPO := $(or $(REPO),$(INGEST_REPO))
export INGEST_REPOS := $(or $(REPOS),$(INGEST_REPOS))
INDEX ?=
CHUNK ?=
OPTIONS = $(if $(INDEX),--index '$(INDEX)') $(if $(CHUNK),--chunk-size '$(CHUNK)')

.DEFAULT_GOAL := help
.PHONY: help ingest reindex status search report stop test test-pairs lint format audit browser bench bench-again \
	bench-equality bench-many bench-reading bench-report bench-scale bench-search requirements clean

help: ## print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1@\2/' | column -t -s '@'

ingest: $(VENV)/ready ## REPO="URL-or-path …" or REPOS=file [INDEX=commits] [CHUNK=1000]: bring the index up to date with them
	@$(BIN)/ingest load $(OPTIONS)

reindex: $(VENV)/ready ## [REPO="…"] [INDEX=…]: build the index anew beside the live one, and swap them
	@$(BIN)/ingest reindex $(OPTIONS)

status: $(VENV)/ready ## [INDEX=…]: say what the index holds, and how the last runs ended
	@$(BIN)/ingest status $(if $(INDEX),--index '$(INDEX)')

export Q
search: $(VENV)/ready ## Q="words" [ARGS="--author NAME --path FOLDER …"] [INDEX=…]: find commits
	@$(BIN)/ingest search $(if $(INDEX),--index '$(INDEX)') $(ARGS) -- "$$Q"

OUT ?= report.html
report: $(VENV)/ready ## [REPO="…"] [OUT=report.html] [INDEX=…]: make a page with charts of what the index holds
	@$(BIN)/ingest report --out '$(OUT)' $(if $(INDEX),--index '$(INDEX)')

stop: $(VENV)/ready ## stop the embedded Elasticsearch
	@$(BIN)/ingest node stop

test: $(VENV)/ready-dev browser ## run the tests against a real Elasticsearch (CI=true: the slow ones too)
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(if $(CI),,-m "not slow")

# What depends on client and server most; each pair starts one server a process.
PAIRED = tests/test_load.py tests/index tests/test_convergence.py tests/test_reindex.py
PAIR = -m pytest --numprocesses=2 --dist=loadfile -m "not slow" $(PAIRED)
test-pairs: $(VENV)/ready-dev $(VENV)-9/ready ## run a part of the tests with Elasticsearch 8.19, and with client and server 9
	@INGEST_TEST_SERVER=8.19.3 $(BIN)/python $(PAIR)
	@INGEST_TEST_SERVER=9.2.0 $(VENV)-9/bin/python $(PAIR)

lint: $(VENV)/ready-dev ## check format, style and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

format: $(VENV)/ready-dev ## rewrite the code in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

audit: $(VENV)/ready-dev ## ask Python's package index for known weaknesses of what is pinned (needs a network)
	@for file in requirements*.txt; do echo "$$file" >&2; \
	$(BIN)/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r $$file || { echo "make audit: \
	$$file has weaknesses, or could not be looked up; without the index's own service (mirrors lack it) that is always \
	so." >&2; exit 1; }; done

BROWSERS := chromium-headless-shell chromium chromium-browser google-chrome
browser: ## install the browser that the tests need, where there is none, and where apt and root are there to do it
	@for each in "$$INGEST_BROWSER" $(BROWSERS); do test -n "$$each" && command -v "$$each" >/dev/null && exit 0; done; \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "The tests of the report need Chromium: install it \
	with your system's package manager, or name it in INGEST_BROWSER." >&2; exit 0; }; \
	echo "Installing Chromium for the tests (once)" >&2; export DEBIAN_FRONTEND=noninteractive; \
	install='apt-get install --yes --quiet --quiet --no-install-recommends fonts-dejavu-core'; \
	{ apt-get update --quiet --quiet; $$install chromium-headless-shell || $$install chromium; } >/dev/null

ROUNDS ?= 3
bench: $(VENV)/ready ## REPO=… [ROUNDS=3] [WAYS="chapter bulk ingest"]: measure this project beside others' ways
	@$(BIN)/python -m benchmarks.compare --rounds $(ROUNDS) $(if $(WAYS),--ways $(WAYS)) -- "$$INGEST_REPO"

bench-again: $(VENV)/ready ## REPO=… [ROUNDS=3]: measure what comes after the first load, a reindex among it
	@$(BIN)/python -m benchmarks.again --rounds $(ROUNDS) -- "$$INGEST_REPO"

bench-equality: $(VENV)/ready ## REPO=…: compare all our items with Perceval's own
	@$(BIN)/python -m benchmarks.equality -- "$$INGEST_REPO"

bench-reading: $(VENV)/ready ## REPO=… [ROUNDS=3]: measure reading alone, with and without kept items
	@$(BIN)/python -m benchmarks.reading --rounds $(ROUNDS) -- "$$INGEST_REPO"

COMMITS ?= 100000
REPOSITORIES ?= 1
bench-report: $(VENV)/ready ## [COMMITS=100000] [REPOSITORIES=1] [ROUNDS=3]: measure the report on made-up histories
	@$(BIN)/python -m benchmarks.report --commits $(COMMITS) --repositories $(REPOSITORIES) --rounds $(ROUNDS)

SIZES ?= 10000 100000 1000000
bench-scale: $(VENV)/ready ## [SIZES="10000 100000 1000000"]: measure loads of made-up histories of so many commits
	@$(BIN)/python -m benchmarks.scale --sizes $(SIZES)

LISTS ?= 1000x30 20x3000
bench-many: $(VENV)/ready ## [LISTS="1000x30 20x3000"]: measure lists of so many repositories of so many commits
	@$(BIN)/python -m benchmarks.many --lists $(LISTS)

bench-search: $(VENV)/ready ## [COMMITS=100000]: measure each form of search on a made-up history of so many commits
	@$(BIN)/python -m benchmarks.searching --commits $(COMMITS)

COMPILE = CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
requirements: $(VENV)/ready-dev ## pin again what pyproject.toml declares, to the newest versions
	@$(COMPILE) --upgrade -c constraints.txt --build-deps-for editable -o requirements.txt pyproject.toml
	@$(COMPILE) --upgrade -c constraints.txt --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	@sed -n 's/^\([a-z0-9-]*==[^ ]*\).*/\1/p' requirements.txt | grep -v ^elastic > $(VENV)/others.txt
	@$(COMPILE) --upgrade -c $(VENV)/others.txt -o requirements-9.txt requirements-9.in

clean: ## remove the virtual environment (INGEST_HOME stays)
	@rm -rf $(VENV) $(VENV)-9

$(VENV)/ready: requirements.txt pyproject.toml
	@command -v git >/dev/null || { echo "ingest needs git: install it with your system's package manager." >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "ingest needs Python 3.11 or later, found: \
	$$(python3 --version 2>&1 || echo none). Install it, or name it: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ingest needs Python 3.11 or later, \
	but PYTHON=$(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "ingest needs Python's venv module, which $(PYTHON) \
	lacks: install it (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	@echo "Installing what the checks need (once)" >&2
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

# The other client in front of all else that the first environment holds.
$(VENV)-9/ready: $(VENV)/ready-dev requirements-9.txt
	@test -x $(VENV)-9/bin/python || $(PYTHON) -m venv $(VENV)-9
	@$(VENV)-9/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-9.txt
	@$(VENV)-9/bin/python -c "import pathlib, sysconfig; place = pathlib.Path(sysconfig.get_path('purelib')); \
	other = str(place).replace('/$(VENV)-9/', '/$(VENV)/'); \
	(place / 'other.pth').write_text(f'import site; site.addsitedir({other!r})\n')"
	@touch $@
