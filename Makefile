# Needs only make and Python 3.11 or later (with venv): everything else is installed, at pinned
# versions with hashes, into .venv. `make` lists the targets.

VENV := .venv
BIN := $(VENV)/bin
CHECKOV := $(VENV)/checkov
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv \
       --require-hashes --no-deps
# The first of these that is Python 3.11 or later; `make PYTHON=...` names another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14 python; do \
    "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
# Of each minor version from 3.11 on, one that runs: on PATH, or of pyenv's.
PYTHONS ?= $(shell for minor in 11 12 13 14 15; do \
    for name in "python3.$$minor" "$${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.$$minor".*/bin/"python3.$$minor"; do \
        "$$name" -c 'import ensurepip, venv' 2>/dev/null && echo "$$name" && break; done; done; true)
PYTEST := $(BIN)/python -m pytest
# Two processes; tests of one xdist_group (one broker) stay in one of them. Where a process dies the run ends:
# with groups, pytest-xdist would wait for it without end.
PARALLEL := -n 2 --dist loadgroup --max-worker-restart 0
FAST := tests/unit tests/properties tests/simulation
# What the slow tests' calls to AWS and to MSK's authorizer are judged by, after them, and where they are written down.
JUDGE := tests/recorded_calls
RECORDED := $(CURDIR)/build/recorded-calls
# Brokers, servers and processes have seconds for what takes a busy machine longer now and then. Up to three of their tests
# are asked once more; the summary names them and shows what failed. What judges losses is not asked again.
JUDGES := $(addprefix tests/,guarantees $(addprefix integration/test_,crashes.py first_process.py \
    letters_whole.py letters_whole_crashes.py letters_whole_interrupted.py))
AGAIN := --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks $(addprefix --rerun-exclude-path=,$(JUDGES))
CONTAINERS ?= docker
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

export UV_CUSTOM_COMPILE_COMMAND := make lock
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo run test test-all test-unit test-pythons check check-format check-lint check-types check-imports \
        check-dependencies format mutants guarantees beginnings fuzz bench bench-quick compare-loss kafka lock wheel image keys clean

help:  ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*  ## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
	    printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.runtime  ## install what the poller needs into .venv; the command is .venv/bin/datahub-poller

demo: $(VENV)/.runtime  ## see it work: broker, registry and events in one process, no network
	@$(BIN)/python -m datahub_poller demo

run: $(VENV)/.runtime  ## run an action file: make run CONFIG=action.yaml
	@test -n "$(CONFIG)" || { echo 'make run: which action file? make run CONFIG=action.yaml' >&2; exit 2; }
	@$(BIN)/python -m datahub_poller run -c "$(CONFIG)"

test: $(VENV)/.dev $(CHECKOV)/.made  ## what a change is likely to break; AREA=dead-letters: one subject (tests/README.md lists them)
ifeq ($(AREA),)
	$(PYTEST) $(PARALLEL) $(FAST)
	$(PYTEST) $(PARALLEL) $(AGAIN) -m 'not deep' tests $(addprefix --ignore=,$(FAST) $(JUDGE))
else
	$(PYTEST) $(PARALLEL) -m 'not deep' --area '$(AREA)' tests --ignore=$(JUDGE)
endif

test-all: $(VENV)/.dev $(CHECKOV)/.made  ## that and the deep proofs: faults in groups, crashes, memory, the image, AWS, the benchmark's own tests
	$(PYTEST) $(PARALLEL) $(FAST)
	@rm -rf '$(RECORDED)' && mkdir -p '$(RECORDED)'
	RECORDED_CALLS='$(RECORDED)' $(PYTEST) $(PARALLEL) $(AGAIN) tests $(addprefix --ignore=,$(FAST) $(JUDGE))
	RECORDED_CALLS='$(RECORDED)' $(PYTEST) $(JUDGE)

test-unit: $(VENV)/.dev  ## the fast layers only: units, properties, simulations
	$(PYTEST) $(PARALLEL) $(FAST)

test-pythons:  ## the same on each Python from 3.11 on that is there, or on PYTHONS="/path/to/python3.13 ..."
	@failed=; for python in $(PYTHONS); do \
	    version=$$("$$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') || { failed="$$failed $$python"; continue; }; \
	    echo "make test-pythons: Python $$version, $$python"; \
	    $(MAKE) --no-print-directory test-unit VENV="$(VENV)/pythons/$$version" PYTHON="$$python" || failed="$$failed $$python"; \
	done; test -z "$$failed" || { echo "make test-pythons: failed on$$failed" >&2; exit 1; }

check: check-format check-lint check-types check-imports check-dependencies  ## format, lint, types, import contracts, dependencies

check-format: $(VENV)/.dev
	$(BIN)/ruff format --check .

check-lint: $(VENV)/.dev
	$(BIN)/ruff check .

check-types: $(VENV)/.dev
	$(BIN)/mypy

check-imports: $(VENV)/.dev
	$(BIN)/lint-imports

check-dependencies: $(VENV)/.dev
	$(BIN)/deptry poller handler

format: $(VENV)/.dev  ## format the code and repair what the linter can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mutants: $(VENV)/.dev  ## break the core in known ways; fail where no test notices
	$(BIN)/python tests/mutants/run.py

guarantees: $(VENV)/.dev  ## break a group of pollers for MINUTES=5, by SEED, on a real Apache Kafka; judge every promise
	$(BIN)/python tests/guarantees/run.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND))

beginnings: $(VENV)/.dev  ## play HISTORIES=50 beginnings of a group with wrong clocks, by SEED, on a real Apache Kafka
	$(BIN)/python tests/guarantees/run_beginnings.py $(if $(HISTORIES),--histories $(HISTORIES)) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.dev  ## throw hostile bytes at the readers for MINUTES=1, by SEED
	$(BIN)/python tests/fuzz/run.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND))

bench-quick: $(VENV)/.dev  ## how fast it is beside a bare loop, in three minutes; fails below the bars
	@$(BIN)/python tests/benchmarks/run.py $(ARGS)

bench: $(VENV)/.dev  ## the same beside DataHub Actions, FastStream, aiokafka, Arroyo and Quix Streams
	@$(BIN)/python tests/benchmarks/run.py --full $(ARGS)

compare-loss: $(VENV)/.dev  ## what DataHub Actions loses or repeats under the same faults, as a table
	@$(BIN)/python tests/compare_loss/run.py $(ARGS)

kafka: $(VENV)/.dev  ## a real Apache Kafka to play with, until Ctrl-C (make kafka ARGS="--brokers 3 --secure")
	@$(BIN)/python tests/kafka/play.py $(ARGS)

lock: $(VENV)/.dev  ## pin the dependencies anew (make lock UPGRADE=--upgrade for newer versions)
	$(COMPILE) $(UPGRADE) --group dev --extra msk pyproject.toml -o requirements-dev.txt
	$(COMPILE) -c requirements-dev.txt --extra msk pyproject.toml -o requirements.txt
	echo 'checkov' | $(COMPILE) $(UPGRADE) - -o requirements-checkov.txt
	echo 'hatchling' | $(COMPILE) -c requirements-dev.txt - -o infra/docker/requirements-build.txt
	printf 'cyclonedx-bom\ndebsbom[cdx]\n' | $(COMPILE) $(UPGRADE) - -o infra/docker/requirements-sbom.txt
	@! grep -n '://' requirements*.txt infra/docker/requirements-*.txt || { echo 'make lock: an address got into a pin file' >&2; exit 1; }

wheel: $(VENV)/.dev  ## build dist/datahub_poller-*.whl
	$(BIN)/python -m build --wheel --no-isolation

# Podman and buildah keep a HEALTHCHECK in Docker's format alone.
image: export BUILDAH_FORMAT := docker
image:  ## build the container image datahub-poller (CONTAINERS=podman for another builder, PLATFORM=linux/arm64, PYTHON_IMAGE=...)
	@command -v $(CONTAINERS) >/dev/null \
	    || { echo 'make image: $(CONTAINERS) is not there; install it, or name another builder: make image CONTAINERS=podman' >&2; exit 1; }
	$(CONTAINERS) build $(if $(PLATFORM),--platform $(PLATFORM) )$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) -f infra/docker/Dockerfile -t datahub-poller .

keys: $(VENV)/.runtime  ## print every key of the action file as Markdown
	@$(BIN)/python -m datahub_poller.config.reference

clean:  ## remove .venv and everything built or cached
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find poller handler tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo 'make: Python 3.11 or later is needed and none was found; name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo 'make: $(PYTHON) does not run, or is older than Python 3.11; name another: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'make: $(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python3-venv)' >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

# The tree itself is on the path, so the command runs what is checked out here, without a build.
$(VENV)/.runtime: $(VENV)/.made requirements.txt
	$(PIP) -r requirements.txt
	@$(BIN)/python -c 'import pathlib as p, sysconfig as s; p.Path(s.get_path("purelib"), "datahub-poller-tree.pth").write_text("".join(f"{p.Path.cwd() / root}\n" for root in ("poller", "handler")))'
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m datahub_poller "$$@"\n' > $(BIN)/datahub-poller
	@chmod 755 $(BIN)/datahub-poller
	@touch $@

# checkov pins much of what the poller and its tests need in other versions: it has an environment of its own.
$(CHECKOV)/.made: $(VENV)/.made requirements-checkov.txt
	$(BIN)/python -m venv --clear $(CHECKOV)
	$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --require-virtualenv \
	    --require-hashes --no-deps -r requirements-checkov.txt
	@touch $@

# After .runtime, so that two installations never write to .venv at a time.
$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@
