# The commands of the project. Each sets up what it needs first, once.
# A new command is one rule with its help after "##"; it needs to be registered nowhere else.

PY := .venv/bin/python
HELP := $(MAKEFILE_LIST)
COMMANDS := $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(HELP))
.PHONY: $(COMMANDS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(HELP)

setup: ## all that the other commands need, into .venv and node_modules; they do this themselves
	@for python in $(or $(PYTHON),$(PY) python3.13 python3); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
	    && exec "$$python" local/bootstrap.py; \
	done; \
	echo 'Python 3.13 is needed, and $(if $(PYTHON),$(PYTHON) is not it,neither python3.13 nor python3 is): install it, or name it with make PYTHON=...' >&2; \
	exit 2

run: setup ## the main job on stand-ins: export, train, adopt, score; KEEP=1 leaves all parts running
	@$(PY) -m local.demo $(if $(KEEP),--keep)

test: check ## every check, in under 10 minutes on 2 cores
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup ## lint, format and types
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

fuzz: MINUTES = 1
fuzz: setup ## coverage-guided fuzzing of what reads foreign bytes, MINUTES=1 for each target
	@$(PY) -m tests.fuzz.run --minutes '$(MINUTES)' $(TARGETS)

audit: setup ## what is known against the pinned packages, where PyPI's advisories can be reached
	@$(PY) -m tests.audit

format: setup ## puts the code into its format
	@$(PY) -m ruff check --fix-only --quiet
	@$(PY) -m ruff format

serve: PORT = 7071
serve: setup ## the app with your settings at PORT=7071; KEYS=1 checks function keys and prints those you have not set
	@$(PY) -m local.serve --app . --port '$(PORT)' $(if $(KEYS),--enable-auth)

doctor: setup ## your settings against the live world: what is right, what is wrong, what to do
	@$(PY) -m local.doctor

package: setup ## the app as it is deployed, by .funcignore: .build/app.zip
	@$(PY) -m local.package

check-deployed: setup ## a running app's routes at BASE_URL= with KEY=; ENTITIES=file scores, EXPORT=name exports
	@$(PY) -m local.check_deployed

azurite: PORT = 10000
azurite: setup ## storage alone: blob at PORT=10000, queue and table at the next two
	@$(PY) -m local.azurite --port '$(PORT)'

docs: setup ## the documentation site, into site/
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet && echo 'site/index.html'

proof: setup ## the figures at full size: 2 GB through an export, writers killed at every call to storage
	@$(PY) -m local.proof.snapshot --megabytes 200 2000
	@$(PY) -m local.proof.crash --times 10

soak: MINUTES = 5
soak: setup ## the whole road for MINUTES=5 under faults, then the books; SEED=… repeats one
	@$(PY) -m tests.soak --minutes '$(MINUTES)' $(if $(SEED),--seed '$(SEED)')

bench: setup ## every benchmark, in under 10 minutes on 2 cores; writes docs/benchmarks.md
	@$(PY) -m bench

bench-quick: setup ## every benchmark, small, printed
	@$(PY) -m bench --quick

clean: ## removes what set-up and the tools have made
	@rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .build site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
