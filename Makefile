# A fresh machine needs Python 3.11 (or 3.12), pip, git and make; the rest is installed into .venv.
# `make PYTHON=python3.12 demo` takes another interpreter.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . --env-manager local

.PHONY: demo test lint ui env clean

demo: $(VENV)/ready  ## the whole way on the embedded sample, in a few minutes on two cores
	$(RUN) -e main -P data=sample -P model=efficientnet_lite0,efficientnet_lite1 \
		-P trials=100 -P set="data.folds=2 model.image_size=64 train.epochs=5 augmentation.hflip=0 augmentation.crop_scale=[0.6,1.0]"
	@echo
	@echo "Compare the runs in the MLflow UI:  make ui"

test: $(VENV)/ready  ## the whole test suite
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/ready  ## style, types, and the floors of the design
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(VENV)/ready  ## the MLflow UI on this project's runs
	$(BIN)/mlflow ui

env: $(VENV)/ready  ## the environment alone: source .venv/bin/activate

# The pins of conda.yaml constrain what pip takes. Without them it would take the newest torch.
$(VENV)/ready: conda.yaml pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n 's/^ *- \([^ ]*==[^ ]*\)$$/\1/p' conda.yaml > $(VENV)/pins.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/pins.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/pins.txt -e ".[dev]"
	touch $@

clean:  ## the environment and tool caches; runs, models and data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
