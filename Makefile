# make demo      merge the example burst; installs burstfix into .venv first
# make test      run the whole test suite
# make evaluate  print PSNR and SSIM of all shipped models, as in README.md (CLIPS= and PHOTOS=: data; EVALUATE=: options)
# make check     check style, types, and imports between packages
# make bench     measure whole commands, stages and memory traffic (BENCH="--against CHECKOUT" compares)
# make gallery   create docs/images/gallery.jpg, and contact sheets of the bursts in DATA= in out/sheets
# make train-smoke   train a tiny network for a minute, and check that the loss falls
# make docs      write the API reference to out/api
# make fuzz      test damaged files for ten minutes (FUZZ="--seconds 60 --seed 1" sets time and seed)
# make dist      build a wheel and a source distribution in dist
# make man       write the manual pages to out/man
# make schema    write the JSON schemas in docs/schema from burstfix/records
# make mutate    break single lines and check that a test fails; takes about an hour
# make install   install burstfix and the development tools into .venv
# make example   generate the example burst again
# make picture   create the picture in README.md
# make format    fix the style where this can be done automatically
# make clean     remove .venv and everything that was built

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

WORKERS ?= 2

.PHONY: help install demo example picture gallery bench evaluate test check dist docs man schema fuzz mutate format clean train-smoke

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install: .venv/.dev

demo: .venv/.user
	@mkdir -p out
	$(BIN)/burstfix merge examples/burst/*.dng -o out/example.tif --overwrite
	@echo "The picture: $(CURDIR)/out/example.tif"

# Generate the example burst and the picture in README.md again.
example: .venv/.user
	$(BIN)/python examples/make_example.py examples/burst

picture: .venv/.user
	$(BIN)/python examples/night.py docs/images/night.jpg

# Contact sheets show other people's pictures, so they are not part of the project.
DATA ?= ../shared/data
VAL := $(DATA)/photos/val
gallery: .venv/.user
	$(BIN)/python examples/gallery.py docs/images/gallery.jpg
	$(BIN)/python benchmarks/contact_sheets.py out/sheets examples/burst
	@test ! -d "$(DATA)" || $(BIN)/python benchmarks/contact_sheets.py out/sheets "$(DATA)/bursts/wine" \
		"$(DATA)/raws/good/gopro_hero7.dng" "$(DATA)/raws/good/gopro_fusion.dng" \
		"$(VAL)/081.png:-2" "$(VAL)/063.png:-2" "$(VAL)/153.png:-2" "$(VAL)/099.png:-1" "$(VAL)/117.png"

BENCH ?=
bench: .venv/.user
	$(BIN)/python benchmarks/bench.py $(BENCH)

train-smoke: .venv/.dev
	$(BIN)/python examples/train_smoke.py out/train-smoke

# REDS4 protocol on clips (folders of PNG frames), and bursts simulated from photographs.
CLIPS ?= ../shared/data/clips
PHOTOS ?= ../shared/data/photos/val
EVALUATE ?=
evaluate: .venv/.user
	@test -d "$(CLIPS)" || echo "$(CLIPS): no such folder; clips are skipped (make evaluate CLIPS=FOLDER)"
	@test -d "$(PHOTOS)" || echo "$(PHOTOS): no such folder; photographs are skipped (make evaluate PHOTOS=FOLDER)"
	@test ! -d "$(CLIPS)" -a ! -d "$(PHOTOS)" || $(BIN)/burstfix evaluate --markdown $(EVALUATE) \
		$$(test ! -d "$(CLIPS)" || echo --clips "$(CLIPS)") $$(test ! -d "$(PHOTOS)" || echo --photos "$(PHOTOS)")

# Two workers with one thread each, for a machine with two cores.
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

dist: .venv/.dev
	$(BIN)/python -c "from setuptools import build_meta as b; print(b.build_sdist('dist'), b.build_wheel('dist'))"

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

# These stamp files prevent installing again until one of the files in BUILD changes.
.venv/.created:
	@test -n "$(PYTHON)" || { echo "burstfix needs Python 3.11 or newer; none found on this machine" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

BUILD := pyproject.toml constraints.txt setup.py $(wildcard burstfix/native/*.c burstfix/native/*.inc)

.venv/.user: .venv/.created $(BUILD)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/.created $(BUILD)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@ .venv/.user
