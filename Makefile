# Two commands matter: `make demo` runs the page, `make test` runs the tests; each sets up .venv on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench screenshots space clean

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), f'got Python {sys.version.split()[0]}, wanted 3.11 or newer'"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python app.py

test: $(VENV)/.installed-dev
	tests/setup-browser
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

screenshots: $(VENV)/.installed-dev
	tests/setup-browser
	$(BIN)/python -m tests.app.screenshots

bench: $(VENV)/.installed-dev
	$(BIN)/python -m mmsr_core.evaluation bench $(BENCH)  # make bench BENCH="--quick --only slider"

space: $(VENV)/.installed
	$(BIN)/python -m app.space build/space

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
