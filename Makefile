# What can be done here. `make run` and `make build` need Go alone; what the others
# need they install by themselves and say so (scripts/needs).

GO ?= go
RELEASE ?= 2026.11.0
PORT ?= 8123

.PHONY: run build quick test bench fuzz soak lab clean

run: build ## a made-up home behind the gateway, on https://localhost:8443
	bin/gatehouse demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -o bin/gatehouse ./cmd/gatehouse

quick: ## what guards a change in a minute: no browser, no Home Assistant
	scripts/test quick

test: ## everything that guards a change
	scripts/test

bench: build ## what the gateway and the audit cost, beside others; writes docs/performance.md
	scripts/needs bench
	$(GO) run ./bench -binary bin/gatehouse -write docs/performance.md

fuzz: ## every parser, FUZZTIME each (60s unless said)
	scripts/fuzz

soak: build ## the long runs: fuzzing, races again and again, the walks in a loop
	scripts/soak

lab: ## a real Home Assistant in the foreground: make lab RELEASE=2026.2.3 PORT=8123
	scripts/needs live
	lab/ha run $(RELEASE) $(PORT)

clean:
	rm -rf bin out tests/browser/node_modules
