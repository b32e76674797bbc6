# The commands of this repository. Each installs what it needs.

SERVICES = python3 localstack/services.py
DEMO = demo
RELEASE = target/release/extension-worker

.DELETE_ON_ERROR:
.PHONY: demo demo-stop test check

## The main job, to watch: three stacks and their databases. KEEP=1 leaves all of it running.
demo:
	cargo build --release --locked --package extension-worker
	KEEP=$(KEEP) WORKER_BINARY=$(CURDIR)/$(RELEASE) $(SERVICES) --name $(DEMO) $(if $(KEEP),--keep) -- \
	  sh -c '"$$LOCALSTACK_PYTHON" localstack/demo.py'

## Stops what `make demo KEEP=1` left running.
demo-stop:
	$(SERVICES) --stop $(DEMO)

## Unit tests, and the integration tests against a real LocalStack and a real PostgreSQL.
test:
	cargo test --locked --package extension-worker
	cargo build --locked --package extension-worker
	WORKER_BINARY=$(CURDIR)/target/debug/extension-worker $(SERVICES) -- \
	  cargo test --locked --package extension-worker-tests
