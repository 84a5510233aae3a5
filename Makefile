# What a person does with this checkout. `make` alone lists it.
# Everything is installed into .venv, from the hashes in requirements-dev.txt; nothing else is touched.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# MEDIA and CLIPS as they were typed: a folder name may hold dollar signs, which make would expand.
export MEDIA_TYPED := $(value MEDIA)
export CLIPS_TYPED := $(value CLIPS)
unexport MEDIA CLIPS

BIN := .venv/bin
LOCKED := .venv/.locked
INSTALLED := .venv/.installed

.PHONY: help
help: ## this list
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z-]*\):.*## /  \1 	/p' Makefile | expand -t 18

.PHONY: run
run: $(INSTALLED) ## watch MEDIA=DIR, or without it a demo library made for the purpose, on PORT=8080; Ctrl-C ends it
	@media=$$MEDIA_TYPED; \
	case $$media in \
	'') media=$${XDG_CACHE_HOME:-$$HOME/.cache}/mediawatchd/demo; \
	    echo 'No MEDIA=DIR given: a demo library will do.'; \
	    $(BIN)/python -m mediawatchd.cli.demo "$$media" || exit ;; \
	'~') media=$$HOME ;; \
	'~/'*) media=$$HOME/$${media#'~/'} ;; \
	esac; \
	if [ ! -d "$$media" ]; then echo "make run: there is no folder $$media" >&2; exit 2; fi; \
	exec $(BIN)/mediawatchd $(if $(PORT),--port '$(PORT)') "$$media"

.PHONY: test
test: check ## check, then every test; what this machine cannot run is listed at the end
	$(BIN)/python -m pytest -n 4 --dist loadfile -m 'not alone'
	$(BIN)/python -m pytest -m alone

.PHONY: unit
unit: $(INSTALLED) ## the fast tests only
	$(BIN)/python -m pytest -n 4 --dist loadfile tests/unit

.PHONY: bench
bench: $(INSTALLED) ## measure speed and memory against their targets; half an hour, and 4 GB below /tmp for as long
	$(BIN)/python -m benchmarks

.PHONY: bench-similar
bench-similar: $(INSTALLED) ## how many edited copies of the videos in CLIPS=DIR are found, and at what cost; some minutes
	@clips=$$CLIPS_TYPED; case $$clips in '~') clips=$$HOME ;; '~/'*) clips=$$HOME/$${clips#'~/'} ;; esac; \
	if [ -z "$$clips" ]; then echo 'make bench-similar: say CLIPS=DIR, a folder of short videos' >&2; exit 2; fi; \
	exec $(BIN)/python -m benchmarks.similar "$$clips"

.PHONY: soak
soak: $(INSTALLED) ## as root: random changes, faults and comparisons for MINUTES=30; SEED=N makes the same ones again
	$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

.PHONY: fuzz
fuzz: $(INSTALLED) ## FILES=2000 damaged media files of all kinds for the real daemon; SEED=N makes the same ones again
	$(BIN)/python -m tests.fuzz $(if $(FILES),--files $(FILES)) $(if $(SEED),--seed $(SEED))

.PHONY: check
check: $(INSTALLED) ## formatting, lint, types, and which part imports which
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m ruff check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

# Python 3.11 is the oldest that is supported, and newer ones need nothing more.
# The hashes are those of the wheels of all platforms.
LOCK := CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/python -m piptools compile --quiet --upgrade --no-header --no-config \
	--generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
.PHONY: lock
lock: ## write requirements.txt and requirements-dev.txt anew from pyproject.toml, with the newest versions
	python3.11 -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	$(LOCK) --output-file requirements.txt pyproject.toml
	$(LOCK) --extra dev --build-deps-for editable --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

.PHONY: clean
clean: ## remove .venv and everything that was built
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A changed lock file makes a new environment: nothing of the old one is left in it.
$(LOCKED): requirements-dev.txt
	@rm -f $@; \
	for python in python3 python3.13 python3.12 python3.11; do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    found=$$python; \
	    $$python -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    echo "Making .venv with $$($$python --version); this takes a minute the first time."; \
	    $$python -m venv --clear .venv || exit; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r requirements-dev.txt || exit; \
	    touch $@; exit 0; \
	done; \
	if [ -n "$$found" ]; then \
	    echo "make: $$found has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	else \
	    echo 'make: Python 3.11 or newer is needed, and none of python3, python3.13, python3.12, python3.11 is that.' >&2; \
	fi; exit 1

# Editable, without the network: the build tool came with the lock file.
$(INSTALLED): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable . && touch $@
