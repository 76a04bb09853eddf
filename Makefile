# make run    the product with sample data, ready to click through
# make test   everything that .ci/run checks (installs what it needs on Debian)
# make bench  the speed table, as ratios to a bare server
# make profile  what the compiler goes by: docs/decisions/0064
# make lint   vet, linters, formatting
# make build  ./chatelaine

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
TOOLS    := $(CURDIR)/bin
GOLANGCI := v2.15.0
VULN     := v1.1.4

.PHONY: run build test unit race lint vuln bench profile tools setup

run: build
	./chatelaine demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o chatelaine ./cmd/chatelaine

setup:
	@.ci/setup

test: setup lint race vuln

# unit is what `go test ./...` does: all that needs no service.
unit:
	$(GO) test ./...

race:
	$(GO) test -race -timeout 20m ./...

tools: $(TOOLS)/golangci-lint $(TOOLS)/govulncheck

$(TOOLS)/golangci-lint:
	@echo "installing golangci-lint $(GOLANGCI) into bin/ (about two minutes, once)"
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)

$(TOOLS)/govulncheck:
	@echo "installing govulncheck $(VULN) into bin/"
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN)

lint: $(TOOLS)/golangci-lint
	$(GO) vet ./...
	$(TOOLS)/golangci-lint run ./...

# The database of known vulnerabilities may be out of reach; that is said, not hidden.
vuln: $(TOOLS)/govulncheck
	@.ci/vuln $(TOOLS)/govulncheck

bench:
	@.ci/bench

profile:
	@BENCH_PROFILE=1 .ci/bench
