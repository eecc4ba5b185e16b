# Code Story's commands. `make` lists them. Each sets up what it needs in .venv, once.
#
#   PYTHON=python3.12   the interpreter that .venv is made with (3.11 or later; found by itself otherwise)
#   JOBS=2              tests that run at once: each file in one of so many processes
#   ARGS="..."          more arguments for the program that the target runs
.POSIX:
.PHONY: help ingest up down compose-up compose-down test test-long test-neo4j test-chaos test-compose test-cluster check format lock bench

# Python keeps what it has compiled, also where the environment forbids it: a service starts in 2.2 s of processor time
# instead of 3.5 on a machine of 2 cores.
export PYTHONDONTWRITEBYTECODE =

BIN = .venv/bin
JOBS = 2
PYTHON_FILES = shared services tests benchmarks
# Files that may be longer than 500 lines, each with its reason here: none.
LONG_FILES =
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --no-emit-package codestory --no-emit-package codestory-orchestrator \
	--no-emit-package codestory-blarify --no-emit-package codestory-filesystem \
	--no-emit-package codestory-summarizer --no-emit-package codestory-docgrapher
LOCK = $(COMPILE) pyproject.toml --extra build
BLARIFY = services/blarify/environment

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

ingest: ## Ingest a repository into the graph: make ingest REPO=path
	@[ -n "$${REPO:-}" ] || { echo 'Say which repository: make ingest REPO=path' >&2; exit 2; }
	@.ci/environment runtime
	@$(BIN)/codestory ingest start "$$REPO" $(ARGS) || { code=$$?; [ $$code -eq 3 ] || exit $$code; \
	echo 'Done with gaps: what was skipped, and why, stands above.' >&2; }

up: ## Start the embedded stack, or find the one that runs
	@.ci/environment runtime
	@$(BIN)/codestory service start $(ARGS)

down: ## Stop the embedded stack; its data stays
	@.ci/environment runtime
	@$(BIN)/codestory service stop $(ARGS)

compose-up: ## Build the images and bring the whole system up in Docker Compose
	@.ci/environment runtime
	@.ci/compose-secrets >/dev/null
	docker compose up --detach --build --wait $(ARGS)
	@echo 'Up. Say where it is, and who you are:'
	@echo "  export CODESTORY_URL=http://$$(docker compose port orchestrator 8420) CODESTORY_API_KEY_FILE=$$(.ci/compose-secrets)"

compose-down: ## Stop the containers; their data stays
	docker compose down $(ARGS)

test: ## Run all tests but those of the longer tiers
	@.ci/environment dev
	$(BIN)/pytest -m "not chaos and not long and not compose and not cluster" -n $(JOBS) --dist loadfile $(ARGS)

test-long: ## Run the tests of whole services that take minutes in all
	@.ci/environment dev
	$(BIN)/pytest -m "long and not chaos and not compose and not cluster" -n $(JOBS) --dist loadfile $(ARGS)

test-neo4j: ## Run the graph's tests on the Neo4j that CODESTORY_TEST_NEO4J_URI, _USER and _PASSWORD name
	@.ci/environment dev
	$(BIN)/pytest tests/integration/conformance -k neo4j -n $(JOBS) --dist loadfile $(ARGS)

test-chaos: ## Run the tests that kill, stop and wipe, and the long ones of the whole stack
	@.ci/environment dev
	$(BIN)/pytest -m "chaos and not compose and not cluster" -n $(JOBS) --dist loadfile $(ARGS)

test-compose: ## Run the tests of the containers; they need Docker with Compose, and build the images
	@.ci/environment dev
	$(BIN)/pytest -m compose $(ARGS)

test-cluster: ## Run the tests in the Kubernetes cluster that KUBECONFIG names; they create and delete namespaces in it
	@.ci/environment dev
	$(BIN)/pytest -m cluster $(ARGS)

check: ## Lint, formatting, types, import arrows, file sizes
	@.ci/environment dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	@find $(PYTHON_FILES) -name '*.py' -exec wc -l {} \; | awk '$$1 > 500 && !index(" $(LONG_FILES) ", " " $$2 " ") \
	{ print $$2 ": " $$1 " lines, 500 are the limit"; long = 1 } END { exit long }'

format: ## Format the code and mend what can be mended by itself
	@.ci/environment dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## Write the locks anew from the pyproject files; ARGS=--upgrade takes newer releases
	@.ci/environment runtime
	$(LOCK) --extra dev $(ARGS) --output-file requirements-dev.txt
	$(LOCK) --constraint requirements-dev.txt $(ARGS) --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --overrides $(BLARIFY)/overrides.txt --excludes $(BLARIFY)/excludes.txt $(ARGS) \
	$(BLARIFY)/requirements.in --output-file $(BLARIFY)/requirements.txt
	@for service in services/*/pyproject.toml; do \
	$(COMPILE) --constraint requirements.txt $$service --output-file $${service%/*}/requirements.txt || exit 1; done
	$(COMPILE) --constraint requirements.txt services/build-requirements.in --output-file services/build-requirements.txt
	@! grep -n '://' requirements.txt requirements-dev.txt $(BLARIFY)/requirements.txt services/*/requirements.txt \
	services/build-requirements.txt

bench: ## Measure, and compare with the limits
	@.ci/environment dev
	@for bench in benchmarks/*.py; do \
	[ -e "$$bench" ] || { echo "There is no benchmark yet." >&2; exit 1; }; \
	echo "$$bench"; $(BIN)/python "$$bench" $(ARGS) || exit 1; done
