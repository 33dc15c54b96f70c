# Everything a newcomer needs: `make demo`, `make test`. Both set up an environment of their own in .venv.
# Tested with Python 3.11 on Linux x86-64, which is what requirements.lock is made for.

VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
PYTHON  ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
CHAIN   := nuclei-assistant nuclei-accurate-base nuclei-accurate nuclei-fast-base nuclei-fast-labels nuclei-fast
TEACHERS := a b c d
STUDENTS := nuclei-fast nuclei-accurate tissue-accurate

DEMO_INPUT = $(if $(IMAGES),--images $(IMAGES),--data synthetic:6@2026)

KERNEL_SOURCES := $(wildcard runtime/kernel/*.c runtime/kernel/*.h runtime/kernel/build.py)
KERNEL  := build/.kernel
PLATFORMS = linux-x86_64 linux-aarch64 windows-x86_64 macos-arm64 macos-x86_64

# Many containers set it; without bytecode, a Python process that imports torch and lightning takes 20 seconds longer.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test adversarial kernel wheels artifacts arm test-arm test-hosts lint docs pictures student rivals lock clean
help:
	@echo 'make demo [IMAGES="FILE..."]  compile the bundled student, segment images, print accuracy and speed'
	@echo 'make test                     run the tests'
	@echo 'make adversarial [TRIES=N]     hostile files, kills, full disks: hours, and one table (docs/robustness.md)'
	@echo 'make kernel                   build the C library of runtime/kernel again, after a change of its sources'
	@echo 'make wheels                   both distributions for five platforms, in dist/'
	@echo 'make artifacts                the bundled students for all targets as a wheel, in dist/: for PCs without torch'
	@echo 'make test-arm                 run the INT8 artefact on an emulated arm64 board (needs qemu-user-static)'
	@echo 'make test-hosts               run the adapters against pycro-manager and acquire themselves, in build/hosts'
	@echo 'make lint                     ruff, pyright, import-linter'
	@echo 'make docs                     build the documentation site, in build/site'
	@echo 'make pictures                 draw the pictures of the documents again'
	@echo 'make student DATA=ZIP         retrain the nuclei students and their teachers on BBBC038 (configs/)'
	@echo 'make rivals                   time StarDist, InstanSeg, Cellpose 3 and ours to objects; installs gigabytes in build/rivals'
	@echo 'make lock                     write requirements.lock anew from pyproject.toml'
	@echo 'make clean                    remove the environment and everything generated'

setup: $(READY)

# The stamp is written last: an interrupted installation is taken up again where it stopped.
# uv installs in seconds what takes pip minutes; pip steps in where uv does not find its way to an index. Both accept only
# the files whose hashes are in the lock, uv itself included.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'error: no Python >= 3.11 found; install one, or: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . \
	  || $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) $(KERNEL)
	$(BIN)/python -m compile --target all --out demo/artifacts
	$(BIN)/python -m compile --target intel --precision fp32 --out demo/artifacts
	$(BIN)/python -m benchmarks run --artifact demo/artifacts --also-bf16 $(DEMO_INPUT) --pictures demo --out demo/report.json

# Two workers, a file of tests each at a time; one thread each, so that they do not wait for each other.
test: $(READY) $(KERNEL)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile

# One artefact for each backend, of small tiles, which are quick to open.
TRIES := 2000
adversarial: $(READY) $(KERNEL)
	$(BIN)/python -m compile --target all --tile 64 --out build/adversarial
	$(BIN)/python -m tools.adversarial --artifact build/adversarial --tries $(TRIES) --markdown build/adversarial.md

kernel: $(KERNEL)

# A stamp, as the library's name depends on the system.
$(KERNEL): $(READY) $(KERNEL_SOURCES)
	$(BIN)/python -m runtime.kernel.build
	@mkdir -p $(@D) && touch $@

wheels: $(READY)
	for platform in $(PLATFORMS); do for folder in . runtime; do \
	  EDGESCOPE_PLATFORM=$$platform $(BIN)/python -m build --wheel --no-isolation --outdir dist $$folder || exit; \
	done; done

artifacts: $(READY) $(KERNEL)
	for student in $(STUDENTS); do \
	  $(BIN)/python -m compile --target all --student $$student --out build/artifacts || exit; \
	done
	$(BIN)/python -m tools.ready build/artifacts/*/ --out dist

# Debian's arm64 Python in build/arm, fetched once; from then on `make test` runs tests/arm, too.
arm: $(READY)
	$(BIN)/python tests/arm/prepare.py build/arm

test-arm: arm
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest tests/arm

# The environment, and beside it the programs that the adapters are for; some have wheels for few systems.
HOSTS := build/hosts
test-hosts: $(READY)
	$(BIN)/python -m venv $(HOSTS)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > `$(HOSTS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'`/borrowed.pth
	$(HOSTS)/bin/python -m pip install --quiet pycromanager acquire-imaging
	$(HOSTS)/bin/python -m pytest tests/runtime/hosts/test_adapters.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The site, in build/site. A broken link or an unknown name ends the build.
docs: $(READY) $(KERNEL)
	$(BIN)/python -m tools.reference docs/reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# The pictures of docs/: those of ideas, and the contact sheet; and accuracy against time, in build/pictures.
pictures: $(READY) $(KERNEL)
	for student in nuclei-fast nuclei-accurate; do \
	  $(BIN)/python -m compile --target all --student $$student --out build/pictures || exit; \
	  for target in intel microscope; do \
	    $(BIN)/python -m compile --target $$target --precision fp32 --student $$student --out build/pictures || exit; \
	  done; \
	done
	$(BIN)/python -m tools.pictures build/pictures/nuclei-fast-intel-int8 --out docs/pictures
	$(BIN)/python -m benchmarks run --artifact build/pictures/nuclei-fast-intel-int8 \
	  --artifact build/pictures/nuclei-fast-jetson-int8 --artifact build/pictures/nuclei-fast-microscope-int8 \
	  --data synthetic:3@2026 --rounds 1 --repeats 2 --pictures build/pictures/demo
	cp build/pictures/demo/contact-sheet.png docs/demo.png
	$(BIN)/python -m benchmarks run --artifact build/pictures --data synthetic:12@2026 --out build/pictures/report.json
	$(BIN)/python -m benchmarks pareto build/pictures/report.json --out build/pictures/pareto.svg

student: $(READY)
	@test -n "$(DATA)" || { echo 'error: make student needs the images: make student DATA=path/to/stage1_train.zip' >&2; exit 2; }
	test -e stage1_train.zip || ln -s "$(abspath $(DATA))" stage1_train.zip
	for name in $(TEACHERS); do \
	  test -e runs/teachers/$$name || $(BIN)/python -m distill fit configs/teachers/$$name.toml --out runs/teachers/$$name || exit; \
	done
	for name in $(CHAIN); do \
	  test -e runs/$$name || $(BIN)/python -m distill fit configs/$$(echo $$name | tr - _).toml --out runs/$$name || exit; \
	done

# Each in an environment of its own, so that none of them changes ours; the figures land in build/, too.
rivals: $(READY)
	$(BIN)/python -m benchmarks rivals --json build/rivals.json --markdown build/rivals.md

lock: $(READY)
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --no-annotate --no-header --generate-hashes --extra all --extra dev \
	  --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
