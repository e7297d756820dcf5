# Each target does all that it needs on a fresh machine with Python 3.11, venv and pip; what is done already is not done again.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
STAMPS := .venv/stamps
DECLARED := $(sort $(shell find proxy -name '*.pxd'))
# A .pxd alone is C for others.
TYPED := $(foreach pxd,$(DECLARED),$(if $(wildcard $(pxd:.pxd=.py)),$(pxd)))
BUILT := $(sort $(shell find proxy -name '*.so' | sed 's/\..*/.pxd/'))
MODE := $(if $(filter 1,$(GOSSAMER_NO_COMPILE)),plain,compiled)

.PHONY: help
help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: FORCE
FORCE:

.PHONY: install
install: $(STAMPS)/$(MODE)  ## make .venv with the `mesh` command in it

# What comes after is done anew only if this touched its stamp.
$(STAMPS)/deps: requirements/dev.txt $(if $(PYTHON),FORCE) $(shell [ -x $(BIN)/python ] || echo FORCE)
	@sh scripts/venv.sh $@

$(STAMPS)/package: $(STAMPS)/deps pyproject.toml setup.py mesh/version.py
	@GOSSAMER_NO_COMPILE=1 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

# The modules are compiled in place, so that an edited source is what runs after the next make. Without a compiler there is
# nothing to stamp: it is tried again each time. The stamp has the time of the start, so that an edit meanwhile is not lost.
$(STAMPS)/compiled: $(STAMPS)/package setup.py scripts/compile.sh $(DECLARED) $(TYPED:.pxd=.py) $(if $(filter-out $(BUILT),$(TYPED))$(filter-out $(TYPED),$(BUILT)),FORCE)
	@rm -f $(STAMPS)/plain && touch $@.started
	@sh scripts/compile.sh
	@if find proxy -name '*.so' | grep -q .; then mv $@.started $@; fi

$(STAMPS)/plain: $(STAMPS)/package scripts/compile.sh $(if $(BUILT),FORCE)
	@rm -f $(STAMPS)/compiled
	@sh scripts/compile.sh
	@touch $@

.PHONY: demo
demo: install  ## the story on this machine: one pod gets it all, then the mesh balances every request
	@$(BIN)/mesh demo $(ARGS)

.PHONY: tools
tools:
	@python=$$(sh scripts/python.sh) && sh scripts/tools.sh "$$python"

.PHONY: lint
lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check
check: lint  ## format, lint, types, layers and unit tests: under a minute
	$(BIN)/python -m pytest -q tests/unit

# All tests with the modules as `make install` made them, then those of pure code once more with the same modules as plain
# Python. Those on Kubernetes mostly wait for it, so they run beside the others.
ON_KUBERNETES := tests/cluster $(addprefix tests/e2e/,check failures inject injector install mesh product)
.PHONY: test
test: tools lint  ## everything, as CI runs it
	@bash tests/tools/build.sh >/dev/null || echo "the tests that use the Go tools are skipped (under CI they fail)" >&2
	@bash tests/cluster/build.sh >/dev/null || echo "the tests that use Kubernetes are skipped (under CI they fail)" >&2
	@echo "the tests on Kubernetes run beside the others; what they print is shown after these"
	@{ $(BIN)/python -m tests.cluster.mesh_image; $(BIN)/python -m pytest --durations=15 $(ON_KUBERNETES); } \
		>$(STAMPS)/kubernetes.log 2>&1 & kubernetes=$$!; failed=0; \
	$(BIN)/python -m pytest --durations=15 $(ON_KUBERNETES:%=--ignore=%) tests || failed=1; \
	echo "waiting for the tests on Kubernetes"; wait $$kubernetes || failed=1; \
	[ $$failed = 0 ] && tail -n 30 $(STAMPS)/kubernetes.log || cat $(STAMPS)/kubernetes.log; exit $$failed
	@echo "once more as plain Python: tests/unit beside tests/properties, playbook and simulator"
	@GOSSAMER_PURE=1 $(BIN)/python -m pytest tests/unit >$(STAMPS)/plain.log 2>&1 & unit=$$!; failed=0; \
	GOSSAMER_PURE=1 $(BIN)/python -m pytest tests/properties tests/playbook tests/simulator || failed=1; \
	wait $$unit || failed=1; tail -n 40 $(STAMPS)/plain.log; exit $$failed

.PHONY: chart
chart: install  ## make charts/gossamer anew from mesh/install
	@$(BIN)/python -m mesh.install.chart charts/gossamer

.PHONY: image
image: tools install  ## build the image as the tests do, without any registry, and say how large it is (root)
	@$(BIN)/python -m tests.cluster.mesh_image

.PHONY: fuzz
fuzz: install  ## ten million inputs through the parsers, compiled against source (nightly; ARGS="--inputs N")
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: bench
bench: tools install  ## gRPC, HTTP/1.1, raw TCP: CPU, latency, memory against Envoy, HAProxy, nginx, nghttpx, h2
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-scale
bench-scale: tools install  ## the control plane with 1,000 sidecars and 10,000 endpoints, on a real kube-apiserver
	@bash tests/cluster/build.sh >/dev/null
	$(BIN)/python -m benchmarks.scale $(ARGS)

.PHONY: bench-injector
bench-injector: tools install  ## how long a review of the injector takes, and what it adds to a pod's creation
	@bash tests/cluster/build.sh >/dev/null
	$(BIN)/python -m benchmarks.injector $(ARGS)

.PHONY: bench-pods
bench-pods: tools install  ## how much later a pod with the sidecar is ready, on a real node (root); its memory
	@bash tests/cluster/build.sh >/dev/null
	$(BIN)/python -m benchmarks.pods $(ARGS)

.PHONY: demo-kubernetes
demo-kubernetes: tools install  ## docs/getting-started.md on a one-node Kubernetes that it starts and removes (root)
	@bash tests/cluster/build.sh >/dev/null
	@$(BIN)/python -m tests.e2e.product.tour

.PHONY: cluster
cluster: tools install  ## a real one-node Kubernetes that stays, as the tests use it (root; ten minutes to build, once)
	@bash tests/cluster/build.sh >/dev/null
	@$(BIN)/python -m tests.cluster up

.PHONY: cluster-down
cluster-down: install  ## end it and remove every trace
	@$(BIN)/python -m tests.cluster down

.PHONY: lock
lock: $(STAMPS)/deps  ## renew requirements/*.txt from pyproject.toml
	@sh scripts/lock.sh

.PHONY: clean
clean:  ## remove what was installed and built
	rm -rf .venv build *.egg-info
	find proxy -name '*.so' -delete
