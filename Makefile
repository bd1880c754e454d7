# verdict: `make help` says what there is. Tools are pinned in .ci/tools.pins and installed into .tools by `make tools`.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-print-directory

export PATH := $(CURDIR)/.tools/bin:$(PATH)

FUZZTIME ?= 10s
BENCH    ?= .
PKG      ?= ./...
KEEP     ?=
KILLS    ?= 50
ARGS     ?=

# Where the tests find a real Envoy and a real Postgres; what is not there is skipped, or fails under VERDICT_TEST_REQUIRE.
servers = eval "$$(.ci/tools.sh --env)"
step    = .ci/step
# packages_with TEXT: the packages whose tests mention it, as ./folder.
packages_with = grep -rlE --include='*_test.go' '$(1)' . | xargs -r -n1 dirname | sort -u

.PHONY: help tools build unit test race check format vet lint proto proto-check envoy-check fuzz bench \
	test-postgres test-envoy chaos-audit bench-audit bench-lambda run demo lambda deploy-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

tools: ## install the pinned tools into .tools, grpcurl among them (a second run downloads nothing)
	@.ci/tools.sh

build: ## build every command into bin/
	go build -trimpath -o bin/ ./cmd/...

unit: ## the tests without the race detector, for a quick answer (PKG=./server/policy)
	@$(servers) && go test $(PKG)

test: ## everything that CI wants: the tools that it needs, then check
	@$(step) tools .ci/tools.sh envoy postgres buf protoc-gen-go protoc-gen-go-grpc golangci-lint
	@$(step) tools .ci/tools.sh --if-possible samba oidc-provider moto tflint cfn-lint terraform
	@$(MAKE) check

check: ## what CI runs once the tools are there: format, vet, contract, lint, Envoy's configuration, deployments, all tests with -race
	@$(step) format $(MAKE) format
	@$(step) vet $(MAKE) vet
	@$(step) proto-check $(MAKE) proto-check
	@$(step) lint $(MAKE) lint
	@$(step) envoy-check $(MAKE) envoy-check
	@$(step) deploy-check $(MAKE) deploy-check
	@$(step) race $(MAKE) race

format: ## fail when a Go file is not as gofmt would have it
	@unformatted=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	[[ -z $$unformatted ]] || { printf 'not gofmt-ed:\n%s\n' "$$unformatted"; exit 1; }

vet: ## go vet
	@go vet ./...

lint: ## golangci-lint with .golangci.yml
	@golangci-lint run ./...

race: ## all tests with the race detector, real Envoy and Postgres included where they are found (PKG=./server/policy)
	@$(servers) && go test -race $(PKG)

proto: ## generate proto/gen from proto/verdict
	@.ci/tools.sh buf protoc-gen-go protoc-gen-go-grpc
	@buf format --write --path proto/verdict
	@buf generate

proto-check: ## the contract: lint, format, nothing broken since the base commit, generated code up to date
	@.ci/proto-check

envoy-check: ## let Envoy read the configuration that we ship
	@$(servers) && "$$VERDICT_ENVOY" --mode validate -c deploy/envoy/envoy.yaml -l warn --disable-hot-restart

deploy-check: ## Terraform's format and tflint, cfn-lint on the SAM templates; what is missing is skipped (make tools, and terraform on PATH)
	@$(servers) && .ci/deploy-check

fuzz: ## run each fuzz target for FUZZTIME (10s); PKG=./server/request for one folder
	@.ci/fuzz $(FUZZTIME) $(PKG)

bench: ## benchmarks with allocations (PKG=./server/policy BENCH=Evaluate)
	@go test -run '^$$' -bench '$(BENCH)' -benchmem $(if $(filter ./...,$(PKG)),$$($(call packages_with,^func Benchmark)),$(PKG))

test-postgres: ## the tests that use a real Postgres; its absence is a failure
	@.ci/tools.sh postgres
	@$(servers) && VERDICT_TEST_REQUIRE=postgres go test $$($(call packages_with,verdict/store/postgres/pgtest"|VERDICT_TEST_POSTGRES))

test-envoy: ## the tests that use a real Envoy; its absence is a failure
	@.ci/tools.sh envoy
	@$(servers) && VERDICT_TEST_REQUIRE=envoy go test $$($(call packages_with,verdict/deploy/envoy/envoytest"|VERDICT_TEST_ENVOY))

bench-audit: ## what a decision record costs: into Postgres beside a bare COPY, and into the spool
	@.ci/tools.sh postgres
	@$(servers) && .ci/bench-audit

bench-lambda: ## what the Lambda authorizer costs: its start, an invocation's CPU, and its zip
	@.ci/bench-lambda

chaos-audit: ## kill verdict KILLS times (50), Postgres a quarter as often, and cut COPY at 20 times as many bytes: no record may be lost
	@.ci/tools.sh postgres
	@$(servers) && VERDICT_TEST_REQUIRE=postgres go test ./store/postgres -count=1 -timeout 60m -v -run '^TestABatchCutAnywhereIsKeptOnce$$' -args -cuts=$$((20 * $(KILLS)))
	@$(servers) && VERDICT_TEST_REQUIRE=postgres go test ./cmd/verdict -count=1 -timeout 60m -v -run '^TestAKilledPostgresLosesNoRecord$$' -args -kills=$(KILLS)
	@$(servers) && VERDICT_TEST_REQUIRE=postgres go test ./cmd/verdict -count=1 -timeout 60m -v -run '^TestAKilledVerdictLosesNoRecord$$' -args -kills=$(KILLS) \
		| { tee >(cat >&2) | grep '^kills=' || { echo 'chaos-audit: no result' >&2; exit 1; }; }

run: ## verdict dev: everything in one process on loopback (ARGS="--help")
	@go run ./cmd/verdict dev $(ARGS)

demo: ## a real Envoy, a real decision: 200, 401 and 403 with a reason (KEEP=1 leaves it running)
	@.ci/tools.sh envoy
	@echo "building verdict (the first time takes a minute)"
	@go build -trimpath -o bin/ ./cmd/verdict
	@$(servers) && go run ./deploy/demo -verdict bin/verdict -envoy "$$VERDICT_ENVOY" $(if $(KEEP),-keep)

lambda: ## build the Lambda authorizer's packages into dist/, the same bytes each time
	@go run ./deploy/lambda

clean: ## remove what was built; the tools stay (rm -r .tools)
	rm -rf bin dist
	go clean -testcache
