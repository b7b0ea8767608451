# Debian 12, Debian 13, Ubuntu 24.04. Nothing but make has to be installed first.

BIN := .venv/bin
PYTEST_OPTIONS ?=
MACHINES := /var/cache/sip-replay-monitor-tests
CODE := monitor grafana scripts tests $(wildcard benchmarks)

# Under sudo nothing of root's is left in the caller's checkout.
ifdef SUDO_UID
export PYTHONDONTWRITEBYTECODE := 1
export HYPOTHESIS_STORAGE_DIRECTORY := /tmp/hypothesis-$(SUDO_UID)
PYTEST_OPTIONS += -p no:cacheprovider
endif

.PHONY: help setup setup-test demo test test-systemd test-qemu deb conformance man pictures fuzz lint model bench clean

help:  ## say what each target does (the default)
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1  \2/p' $(MAKEFILE_LIST)

setup: .venv/installed  ## install the missing Debian packages and make .venv with the package in it
	@chmod 600 pcaps/keys/*-key.pem 2>/dev/null || true  # git does not keep modes

setup-test: .venv/packages-test  ## setup, and the programs that the tests compare with and call through

demo: setup  ## show the replay attack and its denial, live in network namespaces (with root), else from a capture
	@$(BIN)/replay-monitor demo

test: setup-test  ## run all tests; those in network namespaces need root and are skipped without
	@$(BIN)/python -m pytest $(PYTEST_OPTIONS) -m "not booted and not qemu"
	@[ "$$(id -u)" = 0 ] || echo "Not run as root: the live tests were skipped. 'sudo make test' runs them."

test-systemd: setup-test  ## boot a machine with systemd and test the service in it; needs root, and some minutes once
	@scripts/install-packages boot deb
	@scripts/make-tree $(MACHINES)/$$(. /etc/os-release && echo $$VERSION_CODENAME)
	@$(BIN)/python -m pytest $(PYTEST_OPTIONS) -m booted

test-qemu: setup-test  ## emulate a machine with a kernel of its own and test the rules of nft in it; needs root
	@scripts/install-packages boot emulate
	@scripts/make-tree $(MACHINES)/$$(. /etc/os-release && echo $$VERSION_CODENAME)
	@scripts/make-kernel $(MACHINES)/kernel-$$(. /etc/os-release && echo $$VERSION_CODENAME)
	@$(BIN)/python -m pytest $(PYTEST_OPTIONS) -m qemu

deb: setup  ## build a Debian package for this release into dist/
	@scripts/install-packages deb
	@scripts/make-deb

conformance: setup-test  ## write docs/conformance.md; SIP_CORPORA must name the third-party test data
	@$(BIN)/python tests/conformance/write_matrix.py

man: setup  ## write the manual page from the parsers
	@$(BIN)/python scripts/man_page.py

pictures: setup-test  ## take the pictures of docs/images; needs root
	@$(BIN)/python scripts/pictures.py

fuzz: setup  ## fuzz every layer, a million inputs each (hours); TARGETS="cms session" and RUNS=10000 for less
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/pip install --quiet atheris
	@$(BIN)/python tests/fuzz/fuzz.py $(if $(RUNS),--runs $(RUNS)) $(TARGETS)

lint: setup  ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(CODE) --exclude 'tests/store/conftest'
	@$(BIN)/mypy tests/store/conftest.py
	@$(BIN)/mypy conftest.py

model: setup-test  ## compare the judge with its reference in many random conversations, for some minutes
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-5000} $(BIN)/python -m pytest $(PYTEST_OPTIONS) --hypothesis-profile=fresh tests/antireplay/test_model.py

bench: setup-test  ## measure speed beside Suricata, tshark, openssl and a bare callback; keeps benchmarks/results/
	@scripts/with-backports scripts/install-packages bench
	@$(BIN)/python -m benchmarks

bench-growth: setup-test  ## measure with a store of SIZE associations (SIZE=1e7: ten minutes and 7 GB of disk)
	@$(BIN)/python -m benchmarks growth --size $(or $(SIZE),1e6)

clean:  ## remove what the other targets made in this directory (Debian packages stay)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: pyproject.toml scripts/make-venv scripts/packages scripts/install-packages
	@scripts/install-packages run
	@scripts/make-venv

.venv/packages-test: .venv/installed
	@scripts/install-packages run test
	@rm -f $@ && touch $@
