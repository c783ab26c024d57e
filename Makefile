# Two commands matter:  make demo   and   make test.
# Both set up a virtual environment in .venv; nothing outside this folder is touched.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MODEL  := checkpoints/stdlib-8m
DEMO   := demo

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# what a shell or pip.conf sets for other work; an index or a proxy of the user's stays
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONPATH PYTHONHOME PYTHONSTARTUP
# two torch threads on two shared cores nearly stop each other
TESTING := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: help demo demo-serve test model model-small models-small study lint format docs wheel clean

help:
	@echo "make demo        hardwire the bundled model, prove it, draw it, simulate it, let it talk, price its chip"
	@echo "make demo-serve  the same model behind a chat page, on port 8000"
	@echo "make test        run the tests"
	@echo "make model       train the bundled model anew (100 minutes on two cores)"
	@echo "make study       a study of studies/ again, whole: make study NAME=nested"
	@echo "make lint        ruff and mypy"
	@echo "make docs        the documentation as a site, in site/; every link is checked"
	@echo "make wheel       a wheel for Linux with glibc 2.28 or newer, in dist/, tried in a new environment"
	@echo "make clean       remove what these commands made"

demo: $(VENV)/.installed
	@$(BIN)/python scripts/demo.py --model $(MODEL) --out $(DEMO)

demo-serve: demo $(VENV)/.installed-serve
	$(BIN)/hnlpu serve $(DEMO)/stdlib-8m --port 8000

# two halves of equal length beside each other, each on a core; what the silicon's tests say comes last
test: $(VENV)/.installed-test
	@$(TESTING) $(BIN)/python -m pytest tests/silicon > $(VENV)/silicon.log 2>&1 & beside=$$!; \
	$(TESTING) $(BIN)/python -m pytest --ignore tests/silicon; others=$$?; \
	wait $$beside; silicon=$$?; cat $(VENV)/silicon.log; exit $$((others ? others : silicon))

# hours: train the bundled model anew, export it, and measure it beside compressors
model: $(VENV)/.installed-test
	$(BIN)/python training/train.py --out runs/stdlib --minutes 100
	$(BIN)/python training/export.py --run runs/stdlib --out $(MODEL)
	$(BIN)/python training/evaluate.py $(MODEL) --out $(MODEL)/evaluation.json

# twenty minutes: the small model that becomes a whole chip in RTL
model-small: $(VENV)/.installed-test
	$(BIN)/python training/train.py --model stdlib-140k --minutes 18 --threads 1 --out runs/140k
	$(BIN)/python training/export.py --run runs/140k --out checkpoints/stdlib-140k
	$(BIN)/python training/evaluate.py checkpoints/stdlib-140k --out checkpoints/stdlib-140k/evaluation.json

# half an hour: models of other families, as small
models-small: $(VENV)/.installed-test
	for model in llama-90k qwen3-90k gru-106k; do \
	  $(BIN)/python training/train.py --model $$model --threads 1 --out runs/$$model && \
	  $(BIN)/python training/export.py --run runs/$$model --out checkpoints/$$model && \
	  $(BIN)/python training/evaluate.py checkpoints/$$model --out checkpoints/$$model/evaluation.json || exit 1; \
	done

# minutes: measures, judges, and writes the results and the tables made of them
study: $(VENV)/.installed-test
	@test -f "studies/$(NAME)/run.py" || { echo "make study NAME=...: one of" $$(ls studies/*/run.py | cut -d/ -f2); exit 2; }
	$(TESTING) $(BIN)/python -m studies.$(NAME).run --full
	$(BIN)/python scripts/studies_pages.py

# without its cache, which keeps a verdict on imports when a module of that name appears elsewhere
lint: $(VENV)/.installed-test
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# not with --quiet, under which --strict lets warnings pass
docs: $(VENV)/.installed-docs
	$(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/.installed-test
	$(BIN)/python scripts/wheel.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hnlpu needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 demo"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python could not make a virtual environment; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 2; }

# the C kernels are compiled at install: anew where they have changed
$(VENV)/.installed: pyproject.toml hatch_build.py src/hnlpu/_version.py $(wildcard src/hnlpu/run/kernels/*.[ch]) | $(VENV)/bin/python
	@echo "installing hnlpu into $(VENV) ..."
	@$(BIN)/pip install --quiet --editable '.[masks,rtl]'
	@touch $@

$(VENV)/.installed-serve: $(VENV)/.installed
	@$(BIN)/pip install --quiet --editable '.[masks,rtl,serve]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed constraints.txt
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[masks,rtl,docs]'
	@touch $@

# the tools of tests and lint are pinned, torch with them; pip takes its CPU build where an index offers one
$(VENV)/.installed-test: $(VENV)/.installed constraints.txt
	@echo "installing the test and lint tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
