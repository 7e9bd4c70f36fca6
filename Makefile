# make run     sets up .venv and runs the pipeline        make lint    ruff, snakefmt, snakemake --lint, type hints
# make test    sets up .venv and runs the tests           make clean   deletes what runs have made (results, caches)
# make slurm   adds the executor for Slurm to .venv       make test-slurm   its tests, on a Slurm that they start here
# Set-up happens once, and again when the lock changes. PYTHON=python3.12 names another Python, CONFIG=FILE another config.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run

PYTHON ?= python3
CONFIG ?=
VENV := .venv
LOCK := requirements.in constraints.txt
STAMP := $(VENV)/set-up-$(shell cat $(LOCK) pyproject.toml | cksum | tr -dc '0-9')
PIP := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PATH

.PHONY: bench-rebuild run test lint format docs lock clean set-up execution-env bench-data bench-execution bench-evalplus bench-training bench-verdicts bench-generation bench-engine bench-trace slurm test-slurm bench-scale

run: set-up
	@$(VENV)/bin/selfalign run --cores all $(if $(CONFIG),--configfile $(CONFIG))

test: set-up
	@$(VENV)/bin/python -m pytest

lint: set-up
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/snakefmt --line-length 150 --check Snakefile rules
	@$(VENV)/bin/snakemake --lint
	@$(VENV)/bin/basedpyright

format: set-up
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/snakefmt --line-length 150 Snakefile rules

docs: set-up
	@$(VENV)/bin/python -m selfalign.report.configuration > docs/configuration.md
	@$(VENV)/bin/python -m selfalign.report.pages
	@$(VENV)/bin/python -m selfalign.workflow.rebuild > docs/rebuild-table.md

set-up: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit("selfalign needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "set-up, step 1 of 4: an environment of its own in $(VENV); left: torch, the other packages, selfalign itself"
	@$(PYTHON) -m venv $(VENV)
	@echo "set-up, step 2 of 4: torch, the largest package (minutes); left: the other packages, selfalign itself"
	@$(PIP) --requirement <(grep '^torch' requirements.in)
	@echo "set-up, step 3 of 4: the other packages (a minute or two); left: selfalign itself"
	@$(PIP) --requirement requirements.in
	@echo "set-up, step 4 of 4: selfalign itself"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/set-up-*
	@touch $@
	@echo "set-up is done; it runs again only when the lock changes"

slurm: set-up
	@$(PIP) --requirement envs/slurm.txt

# The libraries that generated programs may import, apart from the project's own: execution.python in the config.
execution-env:
	@$(PYTHON) -m venv .venv-execution
	@.venv-execution/bin/python -m pip install -qq --disable-pip-version-check --requirement envs/execution.txt
	@echo "made .venv-execution; in the config: execution: {python: .venv-execution/bin/python}"

# An environment of its own, so that the main one stays as the lock has it.
test-slurm: set-up
	@$(PYTHON) -m venv .venv-slurm
	@readlink -f $(VENV)/lib/python*/site-packages > "$$(echo .venv-slurm/lib/python*/site-packages)/main.pth"
	@.venv-slurm/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --requirement envs/slurm.txt
	@SELFALIGN_SLURM=required .venv-slurm/bin/python -m pytest tests/slurm

# The execution filter against evalplus's checker and a process per program. evalplus is needed for nothing else.
bench-execution: set-up
	@$(PIP) --no-deps --upgrade --target cache/bench evalplus==0.3.1
	@PYTHONPATH=cache/bench $(VENV)/bin/python bench/bench_execution.py

# Verdicts and speed beside EvalPlus's own on the same samples; DATA is a file in its format. evalplus gets an environment of its own.
bench-evalplus: set-up
	@test -n "$(DATA)" || { echo "make bench-evalplus DATA=MbppPlus.jsonl.gz [ARGS='--tasks 50 --every 8']"; exit 1; }
	@test -x cache/evalplus/bin/python || $(PYTHON) -m venv cache/evalplus
	@cache/evalplus/bin/python -m pip install -qq --disable-pip-version-check --requirement envs/evalplus.txt
	@$(VENV)/bin/python bench/bench_evalplus.py $(DATA) --evalplus cache/evalplus/bin/python $(ARGS)

# The packed training loop against the published loop on the same rows; ARGS='--shape 3b --device cuda' on a GPU.
bench-training: set-up
	@$(VENV)/bin/python bench/bench_training.py $(ARGS)

# The published run on paper: minutes to an hour, by --shards. It prints the tables of docs/scale.md and draws its chart.
bench-scale: set-up
	@$(VENV)/bin/python bench/bench_scale.py

# selfalign trace on a made-up run of 100,000 final rows and a million responses (about 1 GB in the temporary folder).
bench-trace: set-up
	@$(VENV)/bin/python bench/bench_trace.py

# Do verdicts agree beside load, and does memory stay flat? 10,000 programs twice, then 1,000,000 (hours; --programs).
bench-verdicts: set-up
	@$(VENV)/bin/python bench/bench_verdicts.py agreement
	@$(VENV)/bin/python bench/bench_verdicts.py memory

# Shared few-shot draws against a draw per row, in the transformers engine and in vLLM (on CPU, in an environment of its own).
bench-generation:
	@.ci/vllm set-up
	@PYTHONPATH=scripts $${VLLM_VENV:-.venv-vllm}/bin/python bench/bench_generation.py

# Tokens per second of the transformers engine against plain `generate`.
bench-engine: set-up
	@$(VENV)/bin/python bench/bench_engine.py

# What a rebuild costs: nothing to do, and runs after small changes. BENCH=--small takes the tests' run instead of the default one.
bench-rebuild: set-up
	@$(VENV)/bin/python bench/bench_rebuild.py $(BENCH)

# The data steps, near-dedup beside datasketch and text-dedup. text-dedup brings Spark, so it gets an environment of its own.
bench-data: set-up
	@test -x cache/bench/text-dedup/bin/python || $(PYTHON) -m venv cache/bench/text-dedup
	@cache/bench/text-dedup/bin/python -m pip install -qq --disable-pip-version-check text-dedup==0.4.0
	@$(VENV)/bin/python bench/bench_data.py --text-dedup cache/bench/text-dedup/bin/python

# The lock, from the newest versions that requirements.in allows. Without local labels (2.13.0+cpu): builds differ by machine.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --requirement requirements.in
	sed -n '/^#/p' constraints.txt > constraints.new
	.venv-lock/bin/python -m pip freeze --all --exclude pip | grep -v -e '^-e' -e ' @ ' | sed -E 's/\+[a-z0-9.]+$$//' >> constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

clean:
	find . -maxdepth 2 -path './results*/*' ! -path './results/README.md' -exec rm -rf {} +
	rm -rf cache cache-* .snakemake
