# On a machine with Python >= 3.11 and make: `make demo` and `make test` set up .venv by themselves.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready
READY_FOR_DOCS = $(VENV)/ready-for-docs
DEMO = results/demo.h5

.PHONY: demo test test-long test-fast faults lint types bench docs gallery clean

demo: $(READY)  ## theory and finite networks from the same start: an HDF5 file and a picture
	$(BIN)/teacherstudent run goldt-2019-scm-k3 --out $(DEMO) --force --set times.stop=400 --set simulation.method=weights

test: $(READY)  ## one or two cases of everything
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-long: $(READY)  ## the further cases, and what takes long; TESTS=tests/odes chooses some
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long $(TESTS)

test-fast: $(READY)  ## without the long ones; TESTS=tests/odes chooses some
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not long" $(TESTS)

faults: $(READY)  ## tries to make the package answer wrongly, and prints what came of it; SHARE=0.05 for a part
	$(BIN)/python -m tests.faults --share $(or $(SHARE),1)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## ratios, measured side by side
	$(BIN)/python -m benchmarks

gallery: $(READY)  ## computes the files of results/ again whose set-ups have changed, and draws all of them
	$(BIN)/teacherstudent gallery --missing
	$(BIN)/teacherstudent gallery --redraw

docs: $(READY_FOR_DOCS)  ## the manual, with all its code run: docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# The pinned versions are for Python 3.11; a newer Python takes the newest packages there are.
CONSTRAINTS = $$($(BIN)/python -c 'import sys; print("--constraint constraints.txt" * (sys.version_info[:2] == (3, 11)))')
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "teacherstudent needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[dev,explore]"
	touch $@

$(READY_FOR_DOCS): $(READY)
	$(INSTALL) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV)
