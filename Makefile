# Two commands: `make run` opens the dashboard on the shipped example, `make test` runs every check and test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: run test check format clean

run: $(STAMP)
	$(BIN)/python -m demix_core dashboard

test: $(STAMP) check browser
	$(BIN)/python -m pytest -n 2 --dist loadscope

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made once and again whenever requirements.txt changes. torch goes first, on its own, so that
# no other package pulls a build with CUDA.
$(STAMP): requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is missing: install it, or say 'make PYTHON=python3 …'."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^torch==[0-9.]*' requirements.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# Browser tests need a Chromium: find one, or install Debian's where we may, or say what is missing.
.PHONY: browser
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	|| { echo "Chromium is missing and could not be installed: install the package 'chromium', then run 'make test' again."; exit 1; }

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
