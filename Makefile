# The commands of this repository. Each installs what it needs.

SERVICES = python3 localstack/services.py
DEMO = demo
UPGRADE_STORY = POSTGRES_FROM=debian-15 $(SERVICES) -- sh -c '"$$LOCALSTACK_PYTHON" -B localstack/demo_upgrade.py'
RELEASE = target/release/extension-worker
DEBUG = $(CURDIR)/target/debug/extension-worker
# The worker, and the same with points at which a test has it die: worker/src/process/failpoint.rs.
BINARIES = WORKER_BINARY=$(DEBUG) WORKER_FAILPOINTS_BINARY=$(DEBUG)-failpoints
# The whole workspace each time: with one package alone its dependencies have other features, and are built again.
BUILD_FAILPOINTS = cargo build --locked --workspace --features extension-worker/failpoints --bin extension-worker-failpoints
TEST_IT = cargo test --locked --workspace --test it --
# Most of the time a test waits: these are twice the cores of the machine that CI has.
AT_ONCE = --test-threads=4
# What is left out where the server comes from npm: what needs other extensions, and what is the same with any server.
CONTRIB_ALONE = --skip rds:: --skip packaging:: --skip iam:: --skip histories:: --skip chaos:: --skip report_page:: \
  --skip upgrade_check::oracle
# Services that keep running between runs of `make it`.
IT = it
IT_ENV = $${TMPDIR:-/tmp}/extension-worker-$(IT)/env
IMAGE = extension-worker
# What `make test-on` takes.
POSTGRES = npm-17
DENY_VERSION = 0.20.2
DENY = .local/tools/bin/cargo-deny
GUARD_VERSION = 3.2.1
GUARD = .local/tools/bin/cfn-guard

PYTHON = $$(python3 localstack/install.py) -B
# With what the repository's own properties are held against.
CFN_LINT = $$(dirname $$(python3 localstack/install.py))/cfn-lint --append-rules templates/cfn-lint

.DELETE_ON_ERROR:
.PHONY: demo demo-upgrade demo-stop test test-on it it-stop histories chaos fleet bench instructions pure check check-regions reference image image-contents rds-bundle

## The main job, to watch: the templates, deployed, changed, restored and deleted. KEEP=1 leaves all of it running.
demo:
	cargo build --release --locked --package extension-worker
	KEEP=$(KEEP) WORKER_BINARY=$(CURDIR)/$(RELEASE) $(SERVICES) --name $(DEMO) $(if $(KEEP),--keep) -- \
	  sh -c '"$$LOCALSTACK_PYTHON" localstack/demo.py'

## An upgrade of the engine, to watch: 20 databases on PostgreSQL 15 are checked, upgraded to 17 by pg_upgrade behind the same
## port, and repaired by the event of RDS that says so. PAGES=directory keeps the report pages.
demo-upgrade:
	cargo build --release --locked --package extension-worker
	PAGES=$(PAGES) WORKER_BINARY=$(CURDIR)/$(RELEASE) $(UPGRADE_STORY)

## Stops what `make demo KEEP=1` left running.
demo-stop:
	$(SERVICES) --stop $(DEMO)

## Unit tests; the integration tests against a real LocalStack and a real PostgreSQL, with PostGIS and what else RDS has, and
## whether the task role allows just what the worker called in them; the same against PostgreSQL 18, which comes from npm
## with contrib alone (`make test-on` takes 13 and 17); the commands of the manual; the tests of the LocalStack plug-in; and
## the story of an upgrade. The report page is tested in Chromium.
test:
	cargo build --locked --workspace --bins --tests
	$(BUILD_FAILPOINTS)
	cargo test --locked --workspace --lib --bins
	cargo test --locked --workspace --doc
	$(BINARIES) $(SERVICES) -- \
	  sh -c '$(TEST_IT) $(AT_ONCE) && "$$LOCALSTACK_PYTHON" -B tests/task_role.py'
	$(BINARIES) POSTGRES_FROM=npm-18 $(SERVICES) -- $(TEST_IT) $(AT_ONCE) $(CONTRIB_ALONE)
	WORKER_BINARY=$(DEBUG) $(SERVICES) -- \
	  sh -c '"$$LOCALSTACK_PYTHON" -B tests/documentation.py'
	$(SERVICES) -- \
	  sh -c 'cd localstack/custom_resources && "$$LOCALSTACK_PYTHON" -B -m unittest'
	WORKER_BINARY=$(DEBUG) $(UPGRADE_STORY)

## The integration tests against another PostgreSQL: debian-13, debian-17, npm-17 and what else POSTGRES_FROM takes. `make test`
## has the one that Debian's current release brings and the newest: what lies between them differs least.
test-on:
	cargo build --locked --workspace --bins --tests
	$(BUILD_FAILPOINTS)
	$(BINARIES) POSTGRES_FROM=$(POSTGRES) $(SERVICES) -- $(TEST_IT) $(AT_ONCE) $(CONTRIB_ALONE)

## Integration tests whose names contain T, on services that keep running until `make it-stop`: make it T=faults::leases.
## Several names, and flags of the test runner, go into T too.
it:
	cargo build --locked --workspace --bins --tests
	$(BUILD_FAILPOINTS)
	@# Fails where they run already, and then the file is there; remains of services that died are removed.
	@mkdir -p .local && $(SERVICES) --name $(IT) --keep >/dev/null 2>.local/it.log || test -e $(IT_ENV) || { cat .local/it.log; false; }
	. $(IT_ENV) && $(BINARIES) $(TEST_IT) $(T)

## Stops the services that `make it` left running.
it-stop:
	$(SERVICES) --stop $(IT)

## More histories than `make test` lives through, from a seed of its own: HISTORIES=20000 HISTORIES_SEED=7 make histories.
histories:
	cargo build --locked --workspace --bins --tests
	HISTORIES=$${HISTORIES:-20000} HISTORIES_SEED=$${HISTORIES_SEED:-$$(date +%s)} $(SERVICES) -- \
	  $(TEST_IT) histories::

## Two thousand requests, three workers, and one of these killed every two seconds.
chaos:
	cargo build --locked --workspace --bins --tests
	CHAOS_REQUESTS=$${CHAOS_REQUESTS:-2000} WORKER_BINARY=$(DEBUG) $(SERVICES) -- \
	  $(TEST_IT) faults::chaos

## A thousand databases, ten of them broken, and one command; then again, with a worker that is killed half-way. Needs 8 GB
## of disk while it runs.
fleet:
	cargo build --locked --workspace --bins --tests
	FLEET_DATABASES=$${FLEET_DATABASES:-1000} WORKER_BINARY=$(DEBUG) $(SERVICES) -- \
	  $(TEST_IT) --test-threads=1 resync::fleet

## What a request costs the worker: CPU, memory, calls; the same beside a bare loop, a Python handler and a Node consumer
## (needs npm); what a dead server costs the others; and what a re-sync of a thousand databases takes, for which it needs
## 8 GB of disk, and Ansible in PATH where it shall be compared; what a check before an upgrade takes beside psql, and what a
## re-sync adds to stacks' requests; how it scales, and what thousands of files in the server's extension directory cost. About
## 40 minutes; less with FIGURES="peers files in-sync load idle fleet fair scale dead-server", or some of these,
## FIGURES=upgrade-check (part of fleet), FIGURES=peers-quick, or FLEET_DATABASES=300. PUBLISH=1 writes the comparison and the
## scale to docs/benchmarks*; PEERS_EMULATOR=localstack has it use LocalStack's SQS.
bench:
	cargo build --release --locked --package extension-worker --package bare-loop
	WORKER_BINARY=$(CURDIR)/$(RELEASE) BARE_LOOP_BINARY=$(CURDIR)/target/release/bare-loop \
	  PEERS_JSON=$(if $(PUBLISH),$(CURDIR)/docs/benchmarks.json) SCALE_JSON=$(if $(PUBLISH),$(CURDIR)/docs/benchmarks-scale.json) \
	  $(SERVICES) -- \
	  cargo bench --quiet --locked --profile dev --workspace --bench figures -- $(FIGURES)
	$(if $(PUBLISH),python3 -B tests/bench/peers/publish.py)

## Whether parse, plan and response of one in-sync request take as many instructions as tests/instructions.json says, within
## 5 %. WRITE=1 writes that file.
instructions:
	python3 tests/instructions.py $(if $(WRITE),--write)

## How long these take, by criterion. Builds everything anew at its first call.
pure:
	cargo bench --locked --workspace --features extension-worker-tests/criterion --bench pure

## Writes the generated reference: docs/properties.md, docs/sqlstates.md and templates/properties.schema.json.
reference:
	UPDATE_REFERENCE=1 cargo test --quiet --locked --workspace --lib -- reference::

## The worker's image, with docker, podman or buildah. IMAGE=name:tag names it, ENGINE=podman says with which,
## BUILD_IMAGE=… is another image to build in, PLATFORM=linux/arm64 another platform than this machine's.
image:
	python3 worker/image/engine.py build --base "$(BUILD_IMAGE)" --platform "$(PLATFORM)" $(IMAGE)

## Each file of the image with its size, and the total.
image-contents:
	@python3 worker/image/engine.py contents $(IMAGE)

## Adds to worker/rds-global-bundle.pem what npm's package has, and PUBLISHED="file …", bundles that were fetched from AWS, those
## of GovCloud and China too; drops what has expired.
rds-bundle:
	$$(python3 localstack/install.py) worker/image/rds_bundle.py write $(PUBLISHED)

## cfn-lint in every region of aws, aws-us-gov and aws-cn; `make check` takes one of those that have the same schemas.
check-regions:
	$(PYTHON) templates/rules/regions.py --all | \
	  xargs -P 2 -I {} $(CFN_LINT) --regions {} --template templates/*.yaml

## Form, lints, documentation, licences, templates, RDS's certificates.
check: $(DENY) $(GUARD)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	cargo clippy --locked --workspace --features extension-worker/failpoints --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --document-private-items
	$(DENY) --locked check --hide-inclusion-graph bans licenses sources
	$(CFN_LINT) --regions $$($(PYTHON) templates/rules/regions.py templates/*.yaml) --template templates/*.yaml localstack/demo.yaml
	$$(python3 localstack/install.py) -B templates/rules/check.py templates/*.yaml
	cd templates/rules && $$(python3 ../../localstack/install.py) -B -m unittest
	cd tests && $$(python3 ../localstack/install.py) -B -m unittest
	cd worker/image && $$(python3 ../../localstack/install.py) -B -m unittest
	$(MAKE) instructions

# Both are built from their sources, once: no other form of them can be had everywhere.
$(DENY):
	cargo install --locked --quiet --version $(DENY_VERSION) --root .local/tools cargo-deny
$(GUARD):
	cargo install --locked --quiet --version $(GUARD_VERSION) --root .local/tools cfn-guard
