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
browser_done := $(done)/browser
bench_done := $(done)/bench
openrlhf_done := $(done)/openrlhf-$(torch_sum)

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-openrlhf test-openrlhf-full openrlhf browser lint bench bench-diagnosis soak bench-peers docs clean
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: PYTHON=$(PYTHON)  TORCH=$(TORCH)  DEMO_ARGS=  TEST_ARGS=  VENV=$(VENV)'

demo: $(trl_done) ## train a tiny model with TRL, check its log and show it
	@$(bin)/rldk demo $(DEMO_ARGS)

test: $(trl_done) $(if $(filter true,$(CI)),$(browser_done)) ## run all tests, on torch and TRL
	@$(bin)/python -m pytest $(TEST_ARGS)

test-core: $(core_done) ## run the tests that need no torch and no browser
	@$(bin)/python -m pytest -m 'not trl' --ignore=tests/browser $(TEST_ARGS)

# OpenRLHF asks for another transformers than TRL may bring, so it has an environment of its own.
test-openrlhf: ## run real OpenRLHF on this CPU: what takes a few minutes
	@$(MAKE) --no-print-directory VENV=$(VENV)-openrlhf TEST_ARGS='-m "openrlhf and not slow" $(TEST_ARGS)' openrlhf

test-openrlhf-full: ## the same, with whole trainings, killed and resumed ones too
	@$(MAKE) --no-print-directory VENV=$(VENV)-openrlhf TEST_ARGS='-m openrlhf $(TEST_ARGS)' openrlhf

openrlhf: $(openrlhf_done)
	@$(bin)/python -m pytest tests/openrlhf $(TEST_ARGS)

browser: $(browser_done) ## install Chromium by apt, and what drives it, for the tests of the web page

lint: $(lint_done) ## check style, types and imports
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo

bench: $(trl_done) $(bench_done) ## measure what writing, checking and ingesting cost
	@$(bin)/python -m benchmarks

bench-peers: $(core_done) ## measure other loggers beside RLDK; downloads them, takes some ten minutes
	@$(bin)/python -m benchmarks.peers $(PEERS_ARGS)

bench-diagnosis: $(core_done) ## judge synthetic runs with RLDK and another tool; downloads it, takes some ten minutes
	@$(bin)/python -m benchmarks.diagnosis $(DIAGNOSIS_ARGS)

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

# DeepSpeed reads the version of torch when it is built, and OpenRLHF itself asks for what needs a GPU.
$(openrlhf_done): $(core_done) tests/openrlhf/requirements.txt
	@echo 'installing $(TORCH) and OpenRLHF: minutes the first time'
	@rm -f $(done)/openrlhf-*
	@$(install) '$(TORCH)'
	@$(install) -r tests/openrlhf/requirements.txt
	@DS_BUILD_OPS=0 $(install) --no-build-isolation deepspeed==0.19.6
	@$(install) --no-deps openrlhf==0.11.2
	@touch $@

# Debian's Chromium rather than the one playwright downloads: it comes with the system's own security updates.
$(browser_done): $(core_done)
	@echo 'installing Chromium and playwright'
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; } \
	  || { echo 'Chromium could not be installed; as root, on Debian: apt-get install chromium'; exit 1; }
	@$(install) -e '.[browser]'
	@touch $@

$(lint_done): $(core_done)
	@echo 'installing ruff, mypy and import-linter'
	@$(install) -e '.[lint]'
	@touch $@

$(bench_done): $(core_done)
	@echo 'installing polars'
	@$(install) -e '.[bench]'
	@touch $@

$(docs_done): $(core_done)
	@echo 'installing Sphinx'
	@$(install) -e '.[docs]'
	@touch $@
