# Every target makes the environment it needs; nothing else has to be installed but Python and make.

PYTHON ?= python3
VENV := .venv
DEMO_VENV := .venv-demo
DEMO_OUT ?= demo
# Tests run in so many processes, a file's in one of them; each computes on one core.
TEST_JOBS ?= 2
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := $(shell find src -type f ! -name '*.pyc')

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(DEMO_VENV)/.installed ## Segment a synthetic CT with the bundled model (run-time dependencies only, no torch).
	@du -sm $(DEMO_VENV) | awk '{ print "Run-time environment: " $$1 " MB in $(DEMO_VENV)" }'
	@$(DEMO_VENV)/bin/renalmap demo --out $(DEMO_OUT)

.PHONY: test
test: $(VENV)/.installed ## Run every check and all tests; one summary at the end.
	@$(start_checks) $(static_checks) \
	check pytest env OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n $(TEST_JOBS) --dist loadfile; \
	$(end_checks)

.PHONY: coverage
coverage: $(VENV)/.installed ## Run all tests and measure coverage, with a floor (a quarter slower than without).
	@env OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n $(TEST_JOBS) --dist loadfile --cov --cov-report term

.PHONY: nightly
nightly: coverage ## That, and the tests under each Python there is and with the lowest dependencies (hours).
	@$(VENV)/bin/python -m nox

MINUTES ?= 10
FUZZ ?=
.PHONY: fuzz
fuzz: $(VENV)/.installed ## Read damaged files of every format for MINUTES (FUZZ="--seed 1" for other damage).
	@nice -n 10 $(VENV)/bin/python -m tests.fuzz --minutes $(MINUTES) $(FUZZ)

.PHONY: check
check: $(VENV)/.installed ## Run format, lint, type and import checks, without the tests.
	@$(start_checks) $(static_checks) $(end_checks)

.PHONY: format
format: $(VENV)/.installed ## Format the code and apply safe lint fixes.
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .

.PHONY: docs
docs: $(VENV)/.installed ## Build the documentation's site into site/; any warning is an error.
	@$(build_site)
	@echo "Open site/index.html"

.PHONY: web
web: web/node_modules/.installed ## Build the page that segments in the browser, into web/dist (needs Node and npm).
	@cd web && npm run --silent build

.PHONY: bundle
bundle: $(VENV)/.installed ## Train the shipped bundle from scratch (needs ../shared/data; docs/results.md tells the time).
	@$(VENV)/bin/python -m experiments.bundle

.PHONY: bench
bench: $(VENV)/.peers $(DEMO_VENV)/.installed ## Measure time, memory and size beside peers (BENCH=--quick: minutes, not an hour).
	@$(VENV)/bin/python -m benchmarks.suite $(BENCH)

.PHONY: clean
clean: ## Remove environments, caches and the demo's files; stores and runs stay.
	rm -rf $(VENV) $(DEMO_VENV) $(DEMO_OUT) dist site web/dist web/node_modules web/vectors
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt
	$(call make_venv,$(VENV))
	@$(VENV)/bin/python $(PIP_INSTALL) -e '.[dev]'
	@touch $@

# npm ci installs what the lock file names; the packages' own scripts are not run.
web/node_modules/.installed: web/package.json web/package-lock.json
	@cd web && npm ci --silent --ignore-scripts
	@touch $@

# Peers that cannot be installed are skipped by name; RenalMap is measured all the same.
$(VENV)/.peers: benchmarks/peers.txt $(VENV)/.installed
	@$(VENV)/bin/python $(PIP_INSTALL) -r benchmarks/peers.txt && touch $@ || \
		echo "Some peers could not be installed; the benchmarks name what they skip." >&2

# Installed as a user installs it, so that the wheel's content is what the demonstration tries.
# --no-compile: Python writes the bytecode of what is imported, a quarter of what pip would write. Python
# 3.11's venv brings setuptools, which nothing needs at run time.
$(DEMO_VENV)/.installed: pyproject.toml constraints.txt $(SOURCES)
	$(call make_venv,$(DEMO_VENV))
	@$(DEMO_VENV)/bin/python $(PIP_INSTALL) --no-compile .
	@$(DEMO_VENV)/bin/python -m pip uninstall --quiet --disable-pip-version-check --yes setuptools
	@touch $@

define make_venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "RenalMap needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	echo "Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
@echo "Installing into $(1) (once; a few minutes)"
@$(PYTHON) -m venv $(1)
endef

# A check that fails does not stop the others: its name and state wait for the summary.
define start_checks
status=0; summary=; \
check() { \
	name=$$1; shift; began=$$(date +%s); state=ok; \
	printf '\n== %s\n' "$$name"; \
	"$$@" || { state=FAILED; status=1; }; \
	summary="$$summary$$(printf '%-8s %-7s %4d s' "$$name" "$$state" $$(($$(date +%s) - began)))|"; \
};
endef

# The types are checked beside the others and the tests: without mypy's cache that takes one core two minutes.
define static_checks
said=$$(mktemp); \
$(VENV)/bin/mypy >$$said 2>&1 & mypy=$$!; trap 'kill $$mypy; exit 130' INT TERM; \
check_types() { wait $$mypy; code=$$?; cat $$said; rm -f $$said; return $$code; }; \
check format $(VENV)/bin/ruff format --check .; \
check lint $(VENV)/bin/ruff check .; \
check imports $(VENV)/bin/lint-imports; \
check docs $(build_site);
endef

# Through python -m, so that the hooks in website/ can be imported. The variable silences an advertisement.
build_site = env NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet

define end_checks
check types check_types; \
printf '\n== summary\n'; printf '%s' "$$summary" | tr '|' '\n'; exit $$status
endef
