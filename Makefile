# Every target sets up .venv in this checkout by itself and runs from there.
PYTHON := .venv/bin/python
SHOWN := python3 requirements/shown.py
INSTALL = $(SHOWN) 'pip installs $(or $(1),$<)' $(PYTHON) -m pip install --quiet --disable-pip-version-check
COMPOSE = REVISION=$$(git describe --always --dirty) docker compose
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-compose lint words docs image up down bench profile fuzz chaos train train-cnn card audit-dependencies pins clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

demo: .venv/.run  ## Send real digits through a real Kafka broker and show what comes back
	@$(PYTHON) -m tests.demo

# Two processes, each with its own broker, since a test waits half of its time. The tests of a file share more.
PYTEST := $(PYTHON) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: .venv/.test  ## Run the tests, real broker included, except those marked slow
	@$(PYTEST) -m "not slow" $(ARGS)

# Chaos runs last and alone, since it starts a cluster.
test-slow: .venv/.test  ## Run the tests marked slow: outages, deaths, the worst inputs, chaos
	@$(PYTEST) -m slow $(or $(ARGS),--ignore tests/chaos)
	@$(if $(ARGS),,$(PYTHON) -m pytest -m slow tests/chaos)

test-compose: .venv/.test  ## Build the image and test the compose file (needs Docker)
	@$(PYTHON) -m pytest tests/compose $(ARGS)

lint: .venv/.test  ## Check style, types, the direction of imports, and words
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/codespell

words: .venv/.test  ## List misspellings, and words that have a plainer one (ARGS="PATH …")
	@.venv/bin/codespell $(ARGS)

docs: .venv/.run .venv/.docs  ## Build the documentation site in .digitstream/site; a warning is an error
	@$(PYTHON) -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs/site --doctree-dir .digitstream/doctrees . .digitstream/site
	@echo 'open .digitstream/site/index.html'

image:  ## Build the container image `digitstream`
	@$(COMPOSE) build $(ARGS)

up: .venv/.run  ## Run Kafka and the service in containers; it returns when images are answered
	@$(COMPOSE) up --build --detach --wait $(ARGS)

down:  ## Stop what `up` has started; the records stay (ARGS=--volumes deletes them)
	@$(COMPOSE) --profile "*" down $(ARGS)

bench: .venv/.bench  ## Measure the claims of the README (needs MNIST=DIR); ARGS="--help" lists the options
	@$(PYTHON) -m benchmarks $(if $(MNIST),--mnist $(MNIST)) $(ARGS)

profile: .venv/.bench .venv/.profile  ## Draw flame graphs of the service and a worker under load, in .digitstream/profile
	@$(PYTHON) -m benchmarks.flame_graphs $(if $(MNIST),--mnist $(MNIST)) $(ARGS)

chaos: .venv/.test  ## Kill, freeze and cut off everything while images are answered, then audit; ARGS="--help" lists the options
	@$(PYTHON) -m tests.chaos $(ARGS)

fuzz: .venv/.test  ## Fuzz from payload to prediction for a minute, or ARGS="--minutes 20"
	@$(PYTHON) -m tests.fuzz $(ARGS)

train: .venv/.bench  ## Train the model from MNIST=DIR (HANDS=DIR: other hands, too)
	@.venv/bin/digit-engine train --mnist $(MNIST) $(if $(HANDS),--hands $(HANDS)) $(ARGS)

train-cnn: .venv/.train-cnn  ## Train the convolutional network from MNIST=DIR (HANDS=DIR: other hands, too)
	@.venv/bin/digit-engine train-cnn --mnist $(MNIST) $(if $(HANDS),--hands $(HANDS)) $(ARGS)

card: .venv/.bench  ## Evaluate the shipped model and write its card (needs MNIST=DIR; HANDS=DIR: other hands)
	@.venv/bin/digit-engine card --overwrite --mnist $(MNIST) $(if $(HANDS),--hands $(HANDS)) $(ARGS)

audit-dependencies: .venv/.audit  ## Look up known vulnerabilities of the pinned dependencies (asks PyPI)
	@.venv/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/run.txt -r requirements/otel.txt -r requirements/msk-iam.txt -r requirements/onnx.txt -r requirements/sentry.txt -r requirements/stores.txt -r requirements/web.txt

pins:  ## Pin the dependencies again (needs uv)
	@requirements/compile

clean:  ## Remove what the targets made
	@rm -rf .venv .digitstream .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.base: requirements/build.txt requirements/run.txt pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "digitstream needs Python 3.11 or newer as python3")'
	@$(SHOWN) 'making .venv' python3 -m venv .venv
	@$(INSTALL) --require-hashes -r requirements/build.txt
	@$(call INSTALL,digitstream) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.%: requirements/%.txt .venv/.base
	@$(INSTALL) --require-hashes -r $<
	@touch $@
