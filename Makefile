# make env | demo | test | test-slow | check | perf: each makes .venv by itself and is quick when it is already there.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_ARGS ?=
TEST_ARGS ?=

.PHONY: env demo test test-slow peers check perf tutorial lock protos format clean

env: $(STAMP)

$(STAMP): requirements.lock requirements-npm.lock package-lock.json pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit("Datalab needs Python 3.11 or newer; this is %d.%d. Name another with: make PYTHON=python3.12" % v[:2] if v < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv
	@echo "Installing the locked environment into .venv (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-npm.lock
	@$(BIN)/python -m tools.scripts
	@touch $(STAMP)

demo: env
	@$(BIN)/datalab demo $(DEMO_ARGS)

test: env
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile $(TEST_ARGS)

# An MLflow server, Kubernetes' schemas and IPython, for slow tests alone.
peers: .peers/.installed

.peers/.installed: requirements-peers.lock
	@$(PYTHON) -m venv .peers
	@.peers/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements-peers.lock
	@touch $@

# What takes minutes: a machine with systemd and a node from its bundle, sandboxes as an ordinary user, axe on every page.
test-slow: env peers
	$(BIN)/python -m pytest -m slow $(TEST_ARGS)

check: env
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy $(foreach app,descriptives kmeans logistic regression survival trees,-m $(app).client_app -m $(app).server_app)
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint proto
	$(BIN)/python -m tools.protos --check
	$(BIN)/python -m tools.addresses

perf: env
	$(BIN)/python -m tests.perf.rounds --nodes 4 --bytes 1000 --rounds 20 --json

# The pictures of docs/tutorial-steward.md, from the test that walks through registering a dataset.
tutorial: env
	DATALAB_TUTORIAL=docs/tutorial-steward $(BIN)/python -m pytest -q -s tests/browser/test_registering.py -k few_steps

protos: env
	$(BIN)/python -m tools.protos

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The lock names versions and checksums, and no package index.
lock: env
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --extra dev pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --group npm --output-file requirements-npm.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --group peers --output-file requirements-peers.lock
	npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved

clean:
	rm -rf node_modules catalog/web/static/vendor .venv .peers .mypy_cache .ruff_cache .pytest_cache
