# The commands of this project. Each builds the virtual environment that it needs.
PYTHON ?= python3
SERVE := .venv/bin
DEV := .venv-dev/bin
RAY := .venv-ray/bin

.DEFAULT_GOAL := help
.PHONY: help serve test accept conformance soak check wheels release docs bench bench-peers train sbom requirements clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

serve: .venv/installed  ## recognise groceries over HTTP; GREENGROCER_PORT=9000 and so on are obeyed
	@exec $(SERVE)/greengrocer serve

test: .venv-dev/installed  ## run the quick tests
	$(DEV)/pytest -m "not accept" -n 2 --dist loadfile

accept: .venv-dev/installed  ## run the long tests
	$(DEV)/pytest -m accept -n 2 --dist loadfile

conformance: .venv-dev/installed  ## hold a running service against the black-box suite; URL names it, GRPC its address of gRPC
	$(DEV)/pytest conformance --base-url $(URL) $(if $(GRPC),--grpc-address $(GRPC))

soak: .venv-dev/installed  ## load, reload and kill a real service; MINUTES says for how long
	$(DEV)/python -m soak --minutes $(or $(MINUTES),1)

check: docs  ## lint, types, layers, sizes, floors, manifests, the wheels and the documents
	$(DEV)/ruff check
	$(DEV)/ruff format --check
	$(DEV)/mypy
	$(DEV)/mypy --platform darwin --cache-dir .mypy_cache/darwin src
	$(DEV)/lint-imports
	$(DEV)/python tools/check_sizes.py
	$(DEV)/python tools/check_documents.py
	$(DEV)/python tools/check_floors.py
	$(DEV)/python tools/check_manifests.py
	$(MAKE) wheels

wheels: .venv-dev/installed  ## build into dist/ the sdist, its wheel, those of the weights for a GPU and of the client
	rm -rf dist
	$(DEV)/python -m build --no-isolation --outdir dist .
	$(DEV)/python -m build --wheel --no-isolation --outdir dist packages/weights
	$(DEV)/python -m build --wheel --no-isolation --outdir dist clients/python

release: .venv-dev/installed  ## build, check and tag VERSION; nothing is uploaded
	$(DEV)/python -m tools.release $(VERSION)

docs: .venv-dev/installed  ## build the documentation into build/docs; a broken link fails
	$(DEV)/python -m sphinx -q -E -a -W --keep-going docs build/docs

bench: .venv-dev/installed  ## measure the service against the bare pipeline, each way in, and overload, in a quarter of an hour, in .venv-dev (with PyTorch); `.venv-dev/bin/python -m benchmarks --help` lists more
	$(DEV)/python -m benchmarks

bench-peers: .venv-dev/installed  ## measure the service beside its peers; DATA names the data set
	$(DEV)/python -m benchmarks.peers $(if $(DATA),--data $(DATA))

train: runs/grocery runs/tiny  ## train the bundles as they ship; DATA names the data set

# An allocator that keeps its pages: to give back and take a tensor's memory again takes a tenth of
# the time. The order is one of existence alone: what has been trained stays.
runs/%: export MALLOC_MMAP_MAX_ = 0
runs/%: export MALLOC_TRIM_THRESHOLD_ = 8000000000
runs/fast: | .venv-dev/installed
	$(DEV)/greengrocer train --recipe recipes/fast.toml --folds 3 --data $(DATA) --out $@
# Taught by the networks of the fast one, each by that which has seen the same images.
runs/tiny: | runs/fast
	$(DEV)/greengrocer train --recipe recipes/tiny.toml --folds 3 --data $(DATA) --teacher runs/fast --out $@
# The same networks in another bundle: a checkpoint has all that training decides.
runs/grocery: | runs/fast
	for each in runs/fast.*.checkpoint.pt; do cp "$$each" "runs/grocery$${each#runs/fast}"; done
	$(DEV)/greengrocer train --recipe recipes/grocery.toml --folds 3 --data $(DATA) --out $@

sbom: .venv/installed .venv-dev/installed  ## write the bill of materials of what serves: build/sbom.cdx.json
	$(DEV)/python -m tools.sbom .venv/bin/python build/sbom.cdx.json

requirements:  ## pin the newest versions again (needs uv)
	uv pip compile -qU --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-package colorama pyproject.toml -o requirements/serve.txt
	uv pip compile -qU --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-package colorama --resolution lowest-direct \
		pyproject.toml -o requirements/lowest.txt
	uv pip compile -qU --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-package colorama --no-emit-package numpy --no-emit-package protobuf \
		--no-emit-package typing-extensions requirements/dev.in -o requirements/dev.txt
	uv pip compile -qU --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-package packaging requirements/build.in -o requirements/build.txt
	uv pip compile -qU --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-package colorama requirements/ray.in -o requirements/ray.txt

clean:  ## remove what these commands built
	rm -rf .venv .venv-* build dist

# Python compiles what it imports; pip would compile all, which is mostly tests and tools of libraries.
.venv/installed: requirements/serve.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(SERVE)/pip install --quiet --disable-pip-version-check --no-compile -r requirements/serve.txt
	$(SERVE)/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(SERVE)/pip uninstall -qq --yes setuptools  # Python 3.11 brings it; nothing here needs it
	@touch $@

.venv-dev/installed: requirements/serve.txt requirements/dev.txt requirements/torch.txt pyproject.toml clients/python/pyproject.toml
	$(PYTHON) -m venv .venv-dev
	$(DEV)/pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(DEV)/pip install --quiet --disable-pip-version-check -r requirements/serve.txt -r requirements/dev.txt
	$(DEV)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

# Ray Serve, for tests/scale and benchmarks/scenarios/ray_replica.py.
.venv-ray/installed: requirements/serve.txt requirements/ray.txt pyproject.toml
	$(PYTHON) -m venv .venv-ray
	$(RAY)/pip install --quiet --disable-pip-version-check -r requirements/serve.txt -r requirements/ray.txt
	$(RAY)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
