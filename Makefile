# seatmeter: every target is a few lines; `make help` names them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

TARGET := $(or $(CARGO_TARGET_DIR),target)
PREFIX ?= /usr/local
BUILT ?= $(TARGET)/release
LIBRARY := $(TARGET)/release/libseatmeter.so
SERVER := $(TARGET)/release/seatmeterd
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SONAME := libseatmeter.so.$(firstword $(subst ., ,$(VERSION)))

.PHONY: help
help: ## Name every target
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: tools
tools: ## Find the C and C++ compiler, cmake, valgrind and curl, or install them
	@scripts/tools.sh

.PHONY: build
build: tools compile ## Build the library and the server into target/release, optimized

.PHONY: compile
compile: ## The same, with the tools that are there
	@echo "building the library, optimized: some minutes, the first time" >&2
	@cargo build --release -p seatmeter -p seatmeter-dbr -p seatmeter-static
	@ln -sf $(notdir $(LIBRARY)) $(TARGET)/release/$(SONAME)
	@scripts/static.sh $(TARGET)/release/libseatmeter_static.a $(LIBRARY) $(TARGET)/release/libseatmeter.a
	@echo "building the server, optimized" >&2
	@cargo build --release -p seatmeter-server

.PHONY: examples
examples: tools ## Build library, server, C and C++ examples into target/examples: quickly, for trying out
	@echo "building the library and the server for trying out: some minutes, the first time" >&2
	@cargo build --profile trial -p seatmeter -p seatmeter-server
	@scripts/examples.sh $(TARGET)/trial $(TARGET)/examples

.PHONY: run
run: examples ## The main job on real input: server, demo license, a picture read, what was recorded (KEEP=1: server stays)
	@scripts/run.sh $(TARGET)/examples
	@scripts/roles.sh $(TARGET)/examples

.PHONY: run-web
run-web: tools ## The main job in a browser: server with TLS, the page of web_example, what was recorded (KEEP=1: server stays, PORT=N)
	@scripts/tools.sh node=nodejs npm=npm
	@scripts/tools.sh chromium-headless-shell=chromium-headless-shell || echo "open the page in your own browser" >&2
	@cargo build --profile trial -p seatmeter-server
	@scripts/run-web.sh $(TARGET)/trial/seatmeterd "$$(scripts/bindings.sh web $(TARGET)/bindings)"

.PHONY: test
test: tools ## Run every test
	@scripts/tools.sh patch=patch
	@scripts/tools.sh initdb=postgresql || echo "the tests of the PostgreSQL store will be skipped" >&2
	@scripts/tools.sh promtool=prometheus || echo "the tests with Prometheus will be skipped" >&2
	@scripts/tools.sh /usr/sbin/nginx=nginx-light /usr/sbin/haproxy=haproxy /usr/bin/caddy=caddy || echo "the tests of reverse proxies will be skipped" >&2
	@scripts/tools.sh bindfs=bindfs || echo "the test of a data directory on FUSE will be skipped" >&2
	@scripts/languages.sh || echo "the tests of some languages will be skipped" >&2
	@scripts/tools.sh chromium-headless-shell=chromium-headless-shell || echo "the tests in a real browser will be skipped" >&2
	@python3 -c 'import cryptography' 2>/dev/null || scripts/tools.sh /usr/lib/python3/dist-packages/cryptography=python3-cryptography || echo "the tests of the client in another language will be skipped" >&2
	@echo "building the tests: many minutes, the first time" >&2
	@cargo test --workspace --no-run
	@SEATMETER_TEST_PYTHON="$$(scripts/test_python.sh $(TARGET))" SEATMETERD=$(abspath $(TARGET))/debug/seatmeterd cargo test --quiet --workspace --no-fail-fast

.PHONY: sim
sim: tools ## Simulate whole worlds for a minute (SIM_SECONDS=60), or one (SEATMETER_SIM_SEED=N)
	@SEATMETER_SIM_SECONDS=$(or $(SIM_SECONDS),60) SEATMETER_SIM_FIRST=$${SEATMETER_SIM_FIRST:-$$(date +%s)000} \
		cargo test --quiet --workspace --test sim -- --nocapture --exact worlds_obey_the_laws

.PHONY: find-bugs
find-bugs: tools ## Put each mistake of e2e/bugs into a copy of the tree (BUG=count-twice for one), and see that the simulation finds it
	@scripts/tools.sh patch=patch
	@scripts/find-bugs.sh $(BUG)

.PHONY: mutants
mutants: ## Change rules and counts in one place at a time, and see that their unit tests notice it (PART=policy or usage; needs cargo-mutants)
	@status=0; for part in $(or $(PART),policy usage); do scripts/mutants.sh $(TARGET) $$part || status=$$?; done; exit $$status

.PHONY: soak
soak: soak-sim tools ## Simulate for an hour on all cores, kill holders of seats 100 000 times (KILLS=100000); then soak-images
	@SEATMETER_SOAK_KILLS=$(or $(KILLS),100000) cargo test --quiet --workspace --test seats crash:: -- --nocapture
	@$(MAKE) --no-print-directory soak-images

.PHONY: soak-sim
soak-sim: tools ## Simulate on all cores for an hour (SIM_SECONDS=3600, SIM_CORES=N), from an optimized build
	@SEATMETER_SIM_CORES=$(or $(SIM_CORES),$$(nproc)) SEATMETER_SIM_SECONDS=$(or $(SIM_SECONDS),3600) \
		SEATMETER_SIM_FIRST=$${SEATMETER_SIM_FIRST:-$$(date +%s)000} \
		cargo test --quiet --profile sim -p seatmeter-e2e --test sim -- --nocapture --exact worlds_obey_the_laws

.PHONY: soak-images
soak-images: tools ## Decode damaged image files (IMAGES=10000, KIND=jpg for one kind), and see that memory stays as it is
	@SEATMETER_SOAK_IMAGES=$(or $(IMAGES),10000) SEATMETER_SOAK_KIND=$(KIND) cargo test --quiet --workspace --test decode damaged:: -- --nocapture

.PHONY: soak-parsers
soak-parsers: ## Feed damaged and arbitrary documents, answers and requests to the parsers (TIMES=20)
	@SEATMETER_SOAK_PARSERS=$(or $(TIMES),20) cargo test --quiet -p seatmeter-protocol --test hostile

.PHONY: soak-counts
soak-counts: tools ## Kill counting processes and the server (KILLS=10000), and compare what was performed and billed
	@SEATMETERD=$(abspath $(TARGET))/debug/seatmeterd SEATMETER_SOAK_KILLS=$(or $(KILLS),10000) timeout 3600 \
		cargo test --quiet --workspace --test usage counts:: -- --nocapture

.PHONY: soak-server
soak-server: tools ## Load, kills, full disk, clock jumps, renewed certificates and restores at once for some minutes (SOAK_SECONDS=300)
	@cargo build --quiet --workspace --bin seatmeterd
	@SEATMETERD=$(abspath $(TARGET))/debug/seatmeterd SEATMETER_SOAK_SECONDS=$(or $(SOAK_SECONDS),300) timeout 3600 \
		cargo test --quiet --workspace --test usage -- --nocapture a_server_in_every_trouble

.PHONY: failover
failover: tools ## Kill, freeze and cut off the primary of PostgreSQL under load, each fault time after time (FAILOVERS=50), and compare what was performed and billed
	@scripts/tools.sh initdb=postgresql
	@SEATMETER_FAILOVERS=$(or $(FAILOVERS),50) timeout 7200 \
		cargo test --quiet --workspace --test server -- --nocapture --test-threads 1 failover::

.PHONY: test-patroni
test-patroni: tools ## Run servers on PostgreSQL under Patroni, etcd and HAProxy, and kill, freeze and switch over its primary (FAILOVERS=1); takes minutes
	@scripts/tools.sh initdb=postgresql patroni=patroni etcd=etcd-server haproxy=haproxy || echo "skipped: Patroni cannot be had here" >&2
	@SEATMETER_PATRONI=1 SEATMETER_FAILOVERS=$(or $(FAILOVERS),1) timeout 7200 \
		cargo test --quiet --workspace --test server -- --nocapture --test-threads 1 patroni::

.PHONY: bench-server
bench-server: tools ## Reports and authorizations a second over HTTP, on SQLite and PostgreSQL, beside Redis and etcd (BENCH_SECONDS=4, CLIENTS=64)
	@scripts/tools.sh initdb=postgresql redis-server=redis-server etcd=etcd-server
	@timeout 3600 cargo bench --quiet -p seatmeter-server --bench server -- $(or $(BENCH_SECONDS),4) $(or $(CLIENTS),64)
	@timeout 1800 cargo bench --quiet -p seatmeter-server --bench server -- $(or $(BENCH_SECONDS),4) $(or $(CLIENTS),64) scale
	@timeout 1800 cargo bench --quiet -p seatmeter-server --bench server -- $(or $(BENCH_SECONDS),4) $(or $(CLIENTS),64) items
	@timeout 1800 cargo bench --quiet -p seatmeter-server --bench server -- $(or $(BENCH_SECONDS),4) $(or $(CLIENTS),64) nine

.PHONY: bench-web
bench-web: tools ## Measure the browser module in a real Chromium
	@scripts/tools.sh node=nodejs npm=npm chromium-headless-shell=chromium-headless-shell
	@cargo build --quiet --release -p seatmeter-server
	@SEATMETERD=$(abspath $(SERVER)) SEATMETER_WEB=$$(scripts/bindings.sh web $(TARGET)/bindings) \
		CHROMIUM=$$(command -v chromium-headless-shell) node bindings/web/tests/browser/bench.mjs

.PHONY: bench
bench: tools ## Measure, beside peers, in one run
	@cargo build --quiet --release -p seatmeter-server
	@SEATMETERD=$(abspath $(SERVER)) cargo bench --quiet -p seatmeter --bench through_c
	@cargo bench --quiet -p seatmeter --bench seats
	@cargo bench --quiet -p seatmeter-server --bench store -- 2
	@cargo bench --quiet -p seatmeter --bench decoding

.PHONY: instructions
instructions: build ## Count the instructions of creating and destroying a reader: no noise changes them
	@scripts/instructions.sh $(LIBRARY) $(SERVER)

.PHONY: sanitize
sanitize: tools ## Library and C programs under AddressSanitizer and ThreadSanitizer, what is unsafe and needs no kernel under Miri, where the toolchain has them
	@scripts/sanitize.sh

.PHONY: fuzz
fuzz: tools ## Fuzz every parser and sequences of C calls (FUZZ_RUNS=100000, FUZZ_SECONDS=60 for each; FUZZ="hosts grants"; FUZZ_SANITIZER=none)
	@FUZZ_RUNS=$(or $(FUZZ_RUNS),100000) FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) scripts/fuzz.sh $(FUZZ)

.PHONY: bindings
bindings: tools ## Build the modules for Python (a wheel), Node, Java, Go and the browser (an npm package) into target/bindings
	@scripts/languages.sh || echo "some of the modules will be skipped" >&2
	@for language in python node java go web; do scripts/bindings.sh $$language $(TARGET)/bindings >/dev/null || [ $$? = 3 ]; done

.PHONY: check
check: tools ## Formatting and lints
	@cargo fmt --all --check
	@cargo fmt --manifest-path fuzz/Cargo.toml --check
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@cargo clippy --quiet -p seatmeter --no-default-features --all-targets -- -D warnings
	@$(MAKE) --no-print-directory check-port check-dependencies

.PHONY: check-port
check-port: ## Build the library without the files that know Linux: what a port must give is all in src/os
	@RUSTFLAGS='--cfg seatmeter_stub_port -D warnings' cargo check --quiet -p seatmeter --lib --target-dir target/stub

.PHONY: check-dependencies
check-dependencies: ## Licenses, sources and banned crates (deny.toml), where cargo-deny is installed
	@if command -v cargo-deny >/dev/null; then cargo fetch --quiet --locked && cargo deny --log-level error --offline check licenses bans sources; \
		else echo "skipped: cargo-deny is missing (cargo install cargo-deny); licenses and sources are not checked" >&2; fi

.PHONY: check-abi
check-abi: ## Compare the binary interface with the recorded one, and fail where a compiled program would break
	@scripts/tools.sh abidw=abigail-tools
	@scripts/abi.sh check

.PHONY: record-abi
record-abi: ## Record the binary interface for a release
	@scripts/tools.sh abidw=abigail-tools
	@scripts/abi.sh record

.PHONY: images
images: ## Make the pictures of the examples anew
	@cargo run --quiet --example make_images

.PHONY: install
install: ## Install what "make build" has built, or build it if nothing is there (PREFIX=/usr/local, DESTDIR=, LIBDIR=, SYSCONFDIR=, BUILT=target/release)
	@[ "$(BUILT)" != "$(TARGET)/release" ] || [ -f $(BUILT)/libseatmeter.a -a -f $(BUILT)/seatmeterd ] || \
		! command -v cargo >/dev/null || $(MAKE) --no-print-directory compile
	@BUILT="$(BUILT)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" LIBDIR="$(LIBDIR)" SYSCONFDIR="$(SYSCONFDIR)" scripts/install.sh install

.PHONY: uninstall
uninstall: ## Remove what "make install" has installed (the same PREFIX, DESTDIR, LIBDIR, SYSCONFDIR)
	@BUILT="$(BUILT)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" LIBDIR="$(LIBDIR)" SYSCONFDIR="$(SYSCONFDIR)" scripts/install.sh uninstall

.PHONY: deb
deb: ## Make Debian packages from what "make build" has built, into target/deb
	@scripts/tools.sh dh=debhelper dpkg-buildpackage=dpkg-dev
	@BUILT="$(BUILT)" scripts/deb.sh $(TARGET)/deb

.PHONY: test-deb
test-deb: ## Install, use, upgrade, remove and purge the Debian packages in clean systems (SUITES="bookworm trixie"); as root, takes minutes
	@BUILT="$(BUILT)" SUITES="$(SUITES)" scripts/test-deb.sh $(TARGET)/test-deb

.PHONY: test-aarch64
test-aarch64: ## Build for aarch64 and run seats, forks, kills, hosts and C programs in an emulated machine (CPU=neoverse-n1, KILLS=10000); as root, takes minutes
	@scripts/tools.sh
	@CPU="$(CPU)" KILLS="$(KILLS)" scripts/test-aarch64.sh $(TARGET)/aarch64

.PHONY: image
image: ## Make an OCI image of the server, without a shell, from what "make build" has built: target/seatmeterd.oci.tar
	@[ -f $(BUILT)/seatmeterd ] || { echo "$(BUILT)/seatmeterd is missing: run \"make build\" first" >&2; exit 1; }
	@scripts/image.py $(BUILT)/seatmeterd $(TARGET)/seatmeterd.oci.tar seatmeterd:$(VERSION)

.PHONY: modules
modules: ## Make and try wheel, npm package and jar with the library inside, from BUILT, into target/modules
	@scripts/modules.sh $(BUILT) $(TARGET)/modules

.PHONY: portable
portable: tools ## Build library and server for systems with an old glibc (GLIBC=2.28), with the C++ runtime inside, into target/portable
	@scripts/tools.sh python3=python3 objdump=binutils
	@scripts/portable.sh $(TARGET)/portable

.PHONY: test-portable
test-portable: ## Run what "make portable" has built in old and new systems (SUITES="bullseye trixie"); as root, takes minutes
	@SUITES="$(SUITES)" scripts/test-portable.sh $(TARGET)/portable/$$(uname -m)-unknown-linux-gnu/release $(TARGET)/test-portable

.PHONY: rpm
rpm: ## Make RPM packages from what "make build" or "make portable" has built (BUILT=), into target/rpm
	@scripts/tools.sh rpmbuild=rpm
	@BUILT="$(BUILT)" scripts/rpm.sh $(TARGET)/rpm

.PHONY: docs
docs: tools ## Make a site of all pages, with search, and the reference of the C header and of the crates, into target/docs/site
	@scripts/docs.sh $(TARGET)/docs

.PHONY: reproducible
reproducible: tools ## Build the portable binaries in two folders, and see that the same bytes come out
	@scripts/tools.sh python3=python3 objdump=binutils
	@scripts/reproducible.sh $(TARGET)

.PHONY: sbom
sbom: ## Write what is in the library and in the server as CycloneDX, into target/sbom
	@mkdir -p $(TARGET)/sbom
	@for package in seatmeter seatmeter-server; do scripts/sbom.py $$package >$(TARGET)/sbom/$$package.cdx.json; done
	@ls $(TARGET)/sbom/*.cdx.json

.PHONY: musl
musl: tools ## Build for musl: static server and doctor, and the library; try them
	@scripts/tools.sh python3=python3 objdump=binutils musl-gcc=musl-tools
	@built=$$(scripts/musl.sh $(TARGET)/musl) && scripts/test-musl.sh "$$built" && echo "$$built"

.PHONY: release
release: ## Check, test, build and pack a release into target/release-VERSION: all but publishing it
	@scripts/release.sh $(TARGET)
