# Everything runs in .venv, which is made when it is missing and reused as long as pyproject.toml is unchanged.
# A stamp in .venv/.done stands for each set of packages that is installed.

PYTHON ?= python3
TORCH ?= torch==2.13.0
DEMO_ARGS ?=
TEST_ARGS ?=
VENV ?= .venv

export PIP_DISABLE_PIP_VERSION_CHECK = 1

bin := $(VENV)/bin
done := $(VENV)/.done
install := $(bin)/python -m pip install -qq

# Their names hold what they were made from: another Python means a new .venv, another torch a new installation.
python_version := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
torch_sum := $(firstword $(shell echo '$(TORCH)' | cksum))
venv_done := $(done)/python-$(python_version)
core_done := $(done)/core
trl_done := $(done)/trl-$(torch_sum)
lint_done := $(done)/lint
docs_done := $(done)/docs

.DEFAULT_GOAL := help
.PHONY: help demo test test-core lint bench soak bench-peers docs clean
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: PYTHON=$(PYTHON)  TORCH=$(TORCH)  DEMO_ARGS=  TEST_ARGS=  VENV=$(VENV)'

demo: $(trl_done) ## train a tiny model with TRL, check its log and show it
	@$(bin)/rldk demo $(DEMO_ARGS)

test: $(trl_done) ## run all tests, on torch and TRL
	@$(bin)/python -m pytest $(TEST_ARGS)

test-core: $(core_done) ## run the tests that need no torch
	@$(bin)/python -m pytest -m 'not trl' $(TEST_ARGS)

lint: $(lint_done) ## check style, types and imports
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

bench: $(trl_done) ## measure what writing and checking cost
	@$(bin)/python -m benchmarks

bench-peers: $(core_done) ## measure other loggers beside RLDK; downloads them, takes some ten minutes
	@$(bin)/python -m benchmarks.peers $(PEERS_ARGS)

soak: $(core_done) ## write ten million events, rotated and compressed, and see that nothing grows
	@$(bin)/python -m benchmarks.soak

docs: $(docs_done) ## build the documentation
	@$(bin)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo 'built docs/_build/html/index.html'

clean: ## remove .venv and what was built; logs stay
	@rm -rf .venv .venv-* build dist docs/_build .coverage .coverage.* htmlcov
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(venv_done):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("RLDK needs Python 3.11 or later, and $(PYTHON) is %s.%s: say make PYTHON=..." % sys.version_info[:2])'
	@echo 'making $(VENV) with Python $(python_version)'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(done)
	@touch $@

$(core_done): $(venv_done) pyproject.toml
	@echo 'installing RLDK and its test tools'
	@$(install) -e '.[test]'
	@touch $@

# Torch goes in before TRL: asked for TRL alone, pip takes the newest torch, with several GB of CUDA packages.
$(trl_done): $(core_done)
	@echo 'installing $(TORCH) and TRL: minutes the first time'
	@rm -f $(done)/trl-*
	@$(install) '$(TORCH)'
	@$(install) -e '.[trl]'
	@touch $@

$(lint_done): $(core_done)
	@echo 'installing ruff, mypy and import-linter'
	@$(install) -e '.[lint]'
	@touch $@

$(docs_done): $(core_done)
	@echo 'installing Sphinx'
	@$(install) -e '.[docs]'
	@touch $@
