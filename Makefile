# Every target makes its own .venv and installs what it needs, at the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint docs clean

demo: $(VENV)/.all  ## Train LeNet-5 on real digits, compile it, prove it: the whole line, in demo/.
	$(BIN)/chipwise fit lenet5 --data digits -o demo

test: $(VENV)/.test  ## Run the tests.
	$(BIN)/python -m pytest

lint: $(VENV)/.lint $(VENV)/.test  ## ruff and mypy --strict.
	$(BIN)/ruff check --output-format concise
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy

docs: $(VENV)/.docs  ## Build the documentation into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## Remove what the other targets made.
	rm -rf $(VENV) site demo .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[all]'
	@touch $@

$(VENV)/.%: pyproject.toml constraints.txt $(VENV)/.all
	$(PIP) -e '.[$*]'
	@touch $@
