# batchframe: one command per intent. `make` alone lists them.
# Everything is installed into .venv, with the exact versions of constraints.txt.

PYTHON ?= python3
BIN    := .venv/bin
JOBS   ?= 2

.PHONY: help demo test lint types layers unit notebooks docs docs-serve bench bench-encode bench-decode clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv/model: .venv/ready
	$(BIN)/batchframe local pull smollm2
	@touch $@

demo: .venv/model  ## install, run the quickstart on the local model, write build/quickstart.html
	$(BIN)/python -m notebooks.demo

test: lint types layers unit notebooks docs  ## everything that CI checks

lint: .venv/ready  ## style
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

types: .venv/ready  ## strict types
	$(BIN)/mypy

layers: .venv/ready  ## who may import whom
	$(BIN)/lint-imports --no-cache

# A fake OpenAI that others wrote, for tests only; without npm they say that they are skipped.
build/peers/ready:
	@mkdir -p build/peers
	@npm install --silent --no-save --no-fund --no-audit --prefix build/peers @copilotkit/aimock@1.43.0 \
	  || echo "aimock could not be fetched (is npm there?): its tests will say that they are skipped"
	@touch $@

unit: .venv/model build/peers/ready  ## tests, in parallel
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

notebooks: .venv/model  ## run the notebooks and compare every output with the committed one
	$(BIN)/python -m notebooks.check

docs: .venv/ready  ## build the documentation into site/, strictly
	$(BIN)/mkdocs build --strict --quiet

docs-serve: .venv/ready  ## look at the documentation while writing it
	$(BIN)/mkdocs serve

bench: .venv/model bench-encode bench-decode  ## every benchmark, one JSON line each
	$(BIN)/python -m benchmarks.import_time
	$(BIN)/python -m benchmarks.local
	$(BIN)/python -m benchmarks.roundtrip

bench-encode: .venv/ready  ## rows per second into batch files, beside a bare loop
	$(BIN)/python -m benchmarks.encode --rows 1000000

bench-decode: .venv/ready  ## rows per second from result files to the frame, beside a bare loop
	$(BIN)/python -m benchmarks.decode --rows 1000000

clean:  ## remove what make has made
	rm -rf .venv build site
