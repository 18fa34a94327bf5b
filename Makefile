# What needs to be installed is installed by scripts/bootstrap, which does nothing where all is there.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

.PHONY: demo
demo: ## A private cluster with pgvigil, Prometheus and Alertmanager; Ctrl-C removes it
	@scripts/bootstrap rust build postgresql prometheus alertmanager
	cargo run -- demo

.PHONY: check
check: ## Format, lints, licences, and all tests that need no server
	@scripts/bootstrap rust build deny prometheus alertmanager
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo check --release --bin pgvigil
	cargo deny check licenses bans sources
	@scripts/advisories
	@scripts/check-unit
	@scripts/tier check

.PHONY: test
test: check test-live ## check and test-live

.PHONY: test-live
test-live: ## The live tests on the installed PostgreSQL
	@scripts/bootstrap rust build postgresql prometheus alertmanager etcd patroni haproxy pgbouncer
	@LAB_TEST_THREADS=$${LAB_TEST_THREADS:-3} scripts/tier live

.PHONY: test-faults
test-faults: ## A fixed list of faults, each with exactly its alerts, through Prometheus and Alertmanager
	@scripts/bootstrap rust build postgresql prometheus alertmanager
	@LAB_TEST_THREADS=$${LAB_TEST_THREADS:-4} scripts/tier faults

.PHONY: test-failover
test-failover: ## Failovers, crashes in the middle of them, and what must not become one, on real servers
	@scripts/bootstrap rust build postgresql etcd patroni
	@LAB_TEST_THREADS=$${LAB_TEST_THREADS:-2} scripts/tier failover

.PHONY: test-browser
test-browser: ## The pages in a real browser, every query of every board against a real Prometheus, and the boards by Grafana's types
	@scripts/bootstrap rust build postgresql prometheus alertmanager browser grafana-schema
	@LAB_TEST_THREADS=$${LAB_TEST_THREADS:-2} scripts/tier browser

.PHONY: test-versions
test-versions: ## A fixed list of live tests on PostgreSQL 13 to 18
	@scripts/bootstrap rust build versions
	@LAB_TEST_THREADS=$${LAB_TEST_THREADS:-3} scripts/tier versions

.PHONY: bench
bench: ## pgvigil beside prometheus-postgres-exporter; by hand, 15 minutes; BENCH="--quick cpu" looks at one part
	@scripts/bootstrap rust build postgresql exporter
	cargo bench --bench peers -- $(BENCH)

.PHONY: bench-report
bench-report: ## bench, and writes its tables to docs/measured/bench-<date>.md
	@$(MAKE) --no-print-directory bench BENCH=--write

.PHONY: bench-fleet
bench-fleet: ## pgvigil on 1 to 1,000 nodes; by hand, 10 minutes; NODES="100" for others; UPDATE=1 writes docs/measured/fleet.md
	@scripts/bootstrap rust build postgresql
	cargo bench --bench fleet -- $(NODES) $(if $(UPDATE),--write)

.PHONY: prove-bootstrap
prove-bootstrap: ## Runs scripts/bootstrap on a throw-away copy of this machine without PostgreSQL; root, network
	@scripts/prove-bootstrap

.PHONY: prove-reload
prove-reload: ## 1,000 reloads under 50 scrapes a second; by hand, 3 minutes; UPDATE=1 writes docs/measured/reload.md
	@scripts/bootstrap rust build postgresql exporter backup
	@scripts/tier prove

.PHONY: prove-webhook
prove-webhook: ## 1,000 webhooks, 50 at a time; by hand, a minute; UPDATE=1 writes docs/measured/webhook.md
	@scripts/bootstrap rust build
	cargo test --test it prove::webhook:: -- --nocapture

.PHONY: prove-migration
prove-migration: ## What prometheus-postgres-exporter shows, which docs/migration.md goes by; by hand; UPDATE=1 records it anew
	@scripts/bootstrap rust build postgresql exporter
	cargo test --test it prove::exporter:: -- --nocapture

.PHONY: prove-openssl
prove-openssl: ## A build with the feature tls-openssl against psql, and sslrootcert=system against libpq 16; by hand, 10 minutes; UPDATE=1 writes docs/measured/openssl.md
	@scripts/bootstrap rust build openssl postgresql versions
	cargo clippy --all-targets --features tls-openssl -- -D warnings
	cargo test --features tls-openssl --lib pg::
	cargo test --features tls-openssl --test it -- live::libpq:: live::tls:: newer_libpq:: --nocapture
	cargo test --test it newer_libpq:: -- --nocapture

.PHONY: prove-backup
prove-backup: ## Real backups by pgBackRest and Barman, judged by the doctor; by hand, 2 minutes, root
	@scripts/bootstrap rust build postgresql backup
	cargo test --test it prove::backup:: -- --nocapture

.PHONY: prove-pages
prove-pages: ## 200 open status pages on a real cluster; by hand, 2 minutes; UPDATE=1 writes docs/measured/pages.md
	@scripts/bootstrap rust build postgresql
	cargo test --test it prove::pages:: -- --nocapture

.PHONY: prove-checks
prove-checks: ## Mistakes that take another major version, a mount or a compiler to make, each found, mended and gone; by hand, a minute
	@scripts/bootstrap rust build postgresql versions
	cargo test --test it prove::checks::

.PHONY: bench-page
bench-page: ## The status page of 50 nodes: its size, and how long it takes to make
	@scripts/bootstrap rust build
	cargo test --release --lib page::tests::fifty_nodes -- --nocapture

.PHONY: prove-rules
prove-rules: ## Every alert test in every layout, and each recorded fault without each of its alerts; by hand, 5 minutes
	@scripts/bootstrap rust build prometheus
	@scripts/tier prove_rules

.PHONY: prove-faults
prove-faults: ## Every fault of the matrix; by hand, 20 minutes; UPDATE=1 writes docs/fault-matrix.md and the recordings
	@scripts/bootstrap rust build postgresql prometheus alertmanager
	@LAB_ALL=1 LAB_TIER_SECONDS=5400 LAB_TEST_THREADS=$${LAB_TEST_THREADS:-3} scripts/tier faults

.PHONY: prove-failover
prove-failover: ## test-failover with pgvigil killed at 130 points of failovers and switchovers, and 100 stalls; by hand, an hour
	@scripts/bootstrap rust build postgresql etcd patroni
	@LAB_ALL=1 LAB_TIER_SECONDS=5400 LAB_TEST_THREADS=$${LAB_TEST_THREADS:-2} scripts/tier failover

.PHONY: bench-failover
bench-failover: ## From a dead or frozen primary to the first write on the new one; by hand, 20 minutes; UPDATE=1 writes docs/measured/failover.md
	@scripts/bootstrap rust build postgresql prometheus alertmanager
	cargo test --release --test it speed:: -- --nocapture

.PHONY: prove-detection
prove-detection: ## How soon a primary that is gone is told of; by hand, 10 minutes; UPDATE=1 writes docs/measured/detection.md
	@scripts/bootstrap rust build postgresql prometheus alertmanager
	@scripts/tier detection

.PHONY: prove-routing
prove-routing: ## Clients through HAProxy, every scenario 20 times; by hand, 30 minutes; UPDATE=1 writes docs/measured/routing.md
	@scripts/bootstrap rust build postgresql haproxy
	@LAB_TIER_SECONDS=5400 scripts/tier prove_routing

.PHONY: prove-quiet
prove-quiet: ## LAB_MINUTES (30) of mixed load raise no alert; by hand; UPDATE=1 writes docs/measured/quiet.md
	@scripts/bootstrap rust build postgresql prometheus alertmanager
	@LAB_TIER_SECONDS=86400 scripts/tier soak

.PHONY: soak
soak: ## LAB_MINUTES (30) of chaos around a release build of pgvigil; by hand; UPDATE=1 writes docs/measured/soak.md
	@scripts/bootstrap rust build postgresql
	cargo build --release --bin pgvigil
	@LAB_PGVIGIL=$(CURDIR)/target/release/pgvigil LAB_TIER_SECONDS=86400 scripts/tier chaos

.PHONY: prove-api
prove-api: ## schemathesis against the API's description, with and without a credential; by hand, 2 minutes, needs PyPI
	@scripts/bootstrap rust build postgresql prometheus
	@scripts/prove-api

.PHONY: prove-manifests
prove-manifests: ## The Kubernetes manifests by Kubernetes's schemas, compose.yaml by docker-compose; by hand, root, needs PyPI
	@scripts/bootstrap debian
	@scripts/prove-manifests

.PHONY: prove-image
prove-image: ## Builds the Dockerfile by buildah around target/release/pgvigil and runs it as its user; by hand, root
	@scripts/bootstrap debian
	@scripts/prove-image

.PHONY: deb
deb: ## The Debian package, in target/debian
	@scripts/bootstrap rust build packager
	@scripts/deb

.PHONY: prove-deb
prove-deb: ## Installs, runs, upgrades and purges the package in a throw-away Debian; root, network; UPDATE=1 writes docs/measured/deb.md
	@scripts/bootstrap rust build packager debian
	@scripts/prove-deb

.PHONY: dist
dist: ## A static release build of the last commit with SBOM and checksums, in target/dist
	@scripts/bootstrap rust build static sbom
	@scripts/dist

.PHONY: prove-dist
prove-dist: ## Makes dist twice, in different directories, and compares; by hand, 10 minutes; UPDATE=1 writes docs/measured/dist.md
	@scripts/bootstrap rust build static sbom
	@scripts/prove-dist

.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZ_SECONDS (600); by hand, over an hour
	@scripts/bootstrap rust build fuzz
	@scripts/fuzz

.PHONY: fmt
fmt: ## Formats the code
	cargo fmt

.PHONY: docs
docs: ## Writes docs/metrics.md from the catalog
	UPDATE=1 cargo test --test it contract::
