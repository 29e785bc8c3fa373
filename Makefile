# make repro   every result with params.yaml; make repro PARAMS=params/smoke.yaml: with those differences, in runs/smoke
# make test    the fast tests
# make check   these, the slow ones, the linter and the type checker
# make audit   known vulnerabilities of the locked versions (needs the network)
# make docs    site/index.html: the pages of docs/ and the reference of `import ucr` and of the contracts
PARAMS ?= params.yaml
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test slow lint check audit docs install

repro: install
	$(BIN)/python -m pipelines.preset $(PARAMS) -- dvc repro

test: install
	$(BIN)/python -m pytest -q -n auto --dist loadscope

# One process more than cores: many of them wait for a browser, a cluster or a process that they killed.
slow: install
	$(BIN)/python -m pytest -q -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadscope -m slow

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

check: lint test slow

audit: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --disable-pip --no-deps -r constraints.txt

docs: install
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs site

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmark,supervised,test]'
	@touch $@
