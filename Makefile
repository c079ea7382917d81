# make demo      merge the example burst; from a fresh checkout it installs everything into .venv first
# make test      the whole test suite
# make evaluate  PSNR and SSIM of all that ships, as in README.md; CLIPS=, PHOTOS= name the data, EVALUATE= more options
# make check     style, types, and which room may import which
# make gallery   draw docs/images/gallery.jpg, every look side by side
# make train-smoke   train a tiny network for a minute and show the loss falling
# make docs      the API reference, into out/api
# make fuzz      hostile files for ten minutes (FUZZ="--seconds 60 --seed 1" for less, or to repeat a run)
# make man       the manual pages, into out/man
# make schema    the JSON schemas in docs/schema, from burstfix/records.py
# make mutate    break single lines and see whether a test fails; takes about an hour
# make install   the command and what developers need, into .venv
# make example   draw the example burst anew; make picture: the picture of it in README.md
# make format    mend style where that can be done by itself
# make clean     remove .venv and everything that was built

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

WORKERS ?= 2

.PHONY: help install demo example picture gallery evaluate test check docs man schema fuzz mutate format clean train-smoke

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install: .venv/.dev

demo: .venv/.user
	@mkdir -p out
	$(BIN)/burstfix merge examples/burst/*.dng -o out/example.tif --overwrite
	@echo "The picture: $(CURDIR)/out/example.tif"

# The example burst and the picture in README.md, drawn anew.
example: .venv/.user
	$(BIN)/python examples/make_example.py examples/burst

picture: .venv/.user
	$(BIN)/python examples/compare.py examples/burst/*.dng -o docs/images/example.png \
		--crop 35,30 --crop 330,430 --size 210,330

gallery: .venv/.user
	$(BIN)/python examples/gallery.py docs/images/gallery.jpg

train-smoke: .venv/.dev
	$(BIN)/python examples/train_smoke.py out/train-smoke

# The REDS4 protocol on clips (folders of PNG frames), and bursts simulated from photographs.
CLIPS ?= ../shared/data/clips
PHOTOS ?= ../shared/data/photos/val
EVALUATE ?=
evaluate: .venv/.user
	@test -d "$(CLIPS)" || echo "no clips in $(CLIPS): left out (make evaluate CLIPS=FOLDER)"
	@test -d "$(PHOTOS)" || echo "no photographs in $(PHOTOS): left out (make evaluate PHOTOS=FOLDER)"
	@test ! -d "$(CLIPS)" -a ! -d "$(PHOTOS)" || $(BIN)/burstfix evaluate --markdown $(EVALUATE) \
		$$(test ! -d "$(CLIPS)" || echo --clips "$(CLIPS)") $$(test ! -d "$(PHOTOS)" || echo --photos "$(PHOTOS)")

# Two workers, each with one thread: the suite is meant for two cores.
test: export OMP_NUM_THREADS ?= 1
test: .venv/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/.dev
	$(BIN)/python docs/api.py out/api
	@echo "The API reference: $(CURDIR)/out/api/index.html"

man: .venv/.dev
	$(BIN)/python docs/man.py out/man

schema: .venv/.dev
	$(BIN)/python docs/schema.py

MUTATE ?= --count 105 --seed 1
fuzz: export OMP_NUM_THREADS ?= 1
fuzz: .venv/.dev
	$(BIN)/python -m tests.fuzz.run $(FUZZ)

mutate: .venv/.dev
	$(BIN)/python tests/mutate.py $(MUTATE)

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv out build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Stamps: nothing is installed again until what is to be installed has changed.
.venv/.created:
	@test -n "$(PYTHON)" || { echo "burstfix needs Python 3.11 or newer; none found on this machine" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.user: .venv/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/.created pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@ .venv/.user
