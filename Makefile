# Everything a fresh Debian machine with Python 3.11, make and git needs: `make demo`, `make test`.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
SAMPLES := examples/sample_bucket
OUT := demo_output/features

.PHONY: demo explore test test-slow test-long test-flink cluster-up cluster-down lint types docs bench bench-check bench-quick bench-gpu clean setup system linked
.DEFAULT_GOAL := demo

setup: $(VENV)/.done

# The system's own packages, where they are missing and may be installed.
system:
	@PYTHON=$(PYTHON) ./deploy/system_packages.sh

$(VENV)/.done: setup.py constraints.txt pyproject.toml
	@$(MAKE) --no-print-directory system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,test,lint,docs]'
	@# RapidOCR asks for the OpenCV with windows, which needs libGL; this one has the same modules and needs none
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --force-reinstall --no-deps opencv-python-headless
	@touch $@

# What the benchmarks compare with; only they need it.
$(VENV)/.bench: $(VENV)/.done
	@./deploy/system_packages.sh espeak-ng
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,bench]'
	@touch $@

demo: setup
	@rm -rf demo_output
	@mkdir -p demo_output
	$(BIN)/reelbeam extract $(SAMPLES) $(OUT) --models offline
	$(BIN)/reelbeam index $(OUT)
	$(BIN)/reelbeam index $(OUT) --of words
	$(BIN)/python examples/show_demo.py $(OUT) demo_output/search.html

# The pages of the demo dataset, on this machine.
explore: setup
	@test -d $(OUT)/snapshots || $(MAKE) --no-print-directory demo
	$(BIN)/reelbeam explore $(OUT)

test: setup
	@./deploy/system_packages.sh espeak-ng
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow and not long and not flink'

test-slow: setup
	@./deploy/system_packages.sh espeak-ng chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow and not long and not flink'

test-long: setup
	@./deploy/system_packages.sh espeak-ng
	$(BIN)/python -m pytest -m long -s

# A Flink cluster on this machine: two task managers, Beam's job service. Its jars are kept in build/flink.
cluster-up: setup
	@$(BIN)/python -m deploy.flink.cluster up

cluster-down:
	@$(BIN)/python -m deploy.flink.cluster down

test-flink: setup
	$(BIN)/python -m pytest -m 'flink and not long' -s

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Under its installed name: as four folders apart, imports from one to another would all pass as Any.
types: setup linked
	MYPYPATH=build/types:. $(BIN)/mypy --package reelbeam --package benchmarks

# The four folders as one package, for tools that read files and not installed packages.
linked:
	@mkdir -p build/types/reelbeam
	@for folder in schemas models transforms pipeline; do ln -sfn $(CURDIR)/$$folder build/types/reelbeam/$$folder; done

# The documentation site, in site/.
docs: setup linked
	$(BIN)/python -m reelbeam.pipeline.reference .
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.end_to_end
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.speech
	$(BIN)/python -m benchmarks.invented_words
	$(BIN)/python -m benchmarks.planning
	$(BIN)/python -m benchmarks.commits
	$(BIN)/python -m benchmarks.shots
	$(BIN)/python -m benchmarks.index
	$(BIN)/python -m benchmarks.reader
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.bucket
	$(BIN)/python -m benchmarks.quiet_night
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.long_video
	$(BIN)/python -m benchmarks.job_costs
	$(BIN)/python -m benchmarks.senses
	$(BIN)/python -m benchmarks.short_clips
	$(BIN)/python -m benchmarks.frame_choice
	$(BIN)/python -m benchmarks.screen_text
	$(BIN)/python -m benchmarks.words
	$(BIN)/python -m benchmarks.explorer
	$(BIN)/python -m benchmarks.ranking
	$(BIN)/python -m benchmarks.page

# Which figures fell since the last commit, beyond the noise of their rounds.
bench-check: $(VENV)/.bench
	$(BIN)/python -m benchmarks.check

# Whether every benchmark that needs no big input still runs. Its figures mean nothing.
bench-quick: $(VENV)/.bench
	$(BIN)/python -m benchmarks.end_to_end --quick
	$(BIN)/python -m benchmarks.memory --quick
	$(BIN)/python -m benchmarks.decode --quick
	$(BIN)/python -m benchmarks.speech --quick
	$(BIN)/python -m benchmarks.invented_words --quick
	$(BIN)/python -m benchmarks.planning 5000
	$(BIN)/python -m benchmarks.commits --videos 20000
	$(BIN)/python -m benchmarks.index --vectors 20000
	$(BIN)/python -m benchmarks.reader --rows 2000
	$(BIN)/python -m benchmarks.start --quick
	$(BIN)/python -m benchmarks.bucket --quick
	$(BIN)/python -m benchmarks.quiet_night --quick
	$(BIN)/python -m benchmarks.workers --quick
	$(BIN)/python -m benchmarks.long_video --quick
	$(BIN)/python -m benchmarks.job_costs --quick
	$(BIN)/python -m benchmarks.senses --quick
	$(BIN)/python -m benchmarks.short_clips --quick
	$(BIN)/python -m benchmarks.frame_choice --quick
	$(BIN)/python -m benchmarks.shots --quick
	$(BIN)/python -m benchmarks.screen_text --quick
	$(BIN)/python -m benchmarks.words --quick
	$(BIN)/python -m benchmarks.explorer --quick
	$(BIN)/python -m benchmarks.ranking --quick

bench-gpu: $(VENV)/.bench
	$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf $(VENV) demo_output bench_output build dist site *.egg-info
