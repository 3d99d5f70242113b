# make help lists the targets. Everything needs Go, git, make; test and demo need Linux and root.

export CGO_ENABLED := 0
BIN := bin/glovebox
VERSION ?=
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
CLI := github.com/glovebox-dev/glovebox/internal/cli
LDFLAGS := -s -w $(if $(VERSION),-X $(CLI).version=$(VERSION)) $(if $(COMMIT),-X $(CLI).commit=$(COMMIT))

.PHONY: help build test test-fast demo bench check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/glovebox (the first time compiles gVisor: some minutes)
	go build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/glovebox

test: ## install and start what the tests need, run all tiers, fail if one was skipped
	scripts/test.sh

test-fast: ## the tier that needs only Go and git
	go test ./...

demo: build ## run real jobs on a server and executor of its own; KEEP=1 leaves them running
	KEEP='$(KEEP)' scripts/demo.sh $(BIN)

bench: build ## measure; see docs/benchmarks.md; BENCH='-only NAME -runs N' makes one table
	act=$$(scripts/act.sh) || act=; go run ./bench -glovebox $(BIN) -act "$$act" $(BENCH)

check: ## formatting, vet, modules and import rules
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted"; exit 1; fi
	go vet ./...
	go mod verify
	go mod tidy -diff
	go test ./internal/archtest ./internal/cli -run 'Test(Imports|Rules|Package|Modules|NoBuildTags|Config)'

clean: ## remove what build and test made here
	rm -rf bin .testenv
