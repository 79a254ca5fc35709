# One place that says how Julaba is set up, checked and run. `make demo` and `make test` need nothing before them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --only-binary :all: --require-hashes

.PHONY: help setup demo test lint types bench bench-plot bench-gate evidence soak screenshots lock clean

help:
	@echo "make demo   show everything: a simulated exchange and a phone page, no token, no internet"
	@echo "make test   ruff, mypy --strict, pytest"
	@echo "make lint   ruff and mypy alone"
	@echo "make bench  how fast it is beside other engines, into docs/performance.md (minutes; ONLY=name: one part; ONLY=live: the bot at work)"
	@echo "make bench-gate  how often the gate is wrong, into docs/gate.md (minutes; TRIALS=N: printed only)"
	@echo "make soak   the real process killed 200 times in a month, then a month's memory (half an hour; KILLS=20 DAYS=5: less)"
	@echo "make evidence  what the models know of the real candles in JULABA_REAL_KLINES, into docs/evidence.md (a minute)"
	@echo "make lock   resolve the dependencies anew into requirements*.lock"

$(BIN)/python:
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Julaba needs Python 3.11 or newer, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

# A stamp per lock file: nothing is installed again until the lock changes.
$(VENV)/.product: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what Julaba needs (about a minute) ..."
	@$(PIP) -r requirements.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.product
	@echo "installing what the tests need ..."
	@$(PIP) -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.product

demo: $(VENV)/.product
	$(BIN)/julaba demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# Another engine with packages of its own; without it the comparison says so and goes on.
$(VENV)-bench/.installed: requirements-bench.lock | $(BIN)/python
	@echo "installing another engine to measure against (about a minute) ..."
	@$(BIN)/python -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip --disable-pip-version-check install --quiet --only-binary :all: --require-hashes -r requirements-bench.lock \
		&& touch $@ || echo "it could not be installed: measuring without it"

bench: $(VENV)/.dev $(VENV)-bench/.installed
	$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

bench-plot: $(VENV)/.dev
	$(BIN)/python -m tests.bench --only growth

bench-gate: $(VENV)/.dev
	$(BIN)/python -m tests.bench_gate $(if $(TRIALS),--trials $(TRIALS),--write)

evidence: $(VENV)/.dev
	$(BIN)/python -m tests.evidence

# Both are wanted whatever the first one says, and the worse of the two is what make hears.
soak: $(VENV)/.dev
	@$(BIN)/python -m tests.soak --kills $(or $(KILLS),200) --days $(or $(DAYS),30) --seed $(or $(SEED),7); killed=$$?; \
	$(BIN)/python -m tests.soak --memory --days $(or $(DAYS),30) --seed $(or $(SEED),7) && exit $$killed

# Needs Chromium and a font with emoji (Debian: chromium fonts-noto-color-emoji).
screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.screenshots

lock: $(VENV)/.dev
	$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --group bench -o requirements-bench.lock

clean:
	rm -rf $(VENV) $(VENV)-bench .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
