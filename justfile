# Everything one does with this project. KUBECONFIG set: that cluster is used
# instead of the local one (and IMAGE names the operator's image there).

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

program := "${CARGO_TARGET_DIR:-target}/release/redis-operator"

# list the recipes
default:
    @just --list --unsorted

# a local cluster with the operator in it, and an instance's life shown on it
demo:
    @tests/demo.sh

# the same without the show: ready for `just kubectl apply`
up:
    @tests/deploy.sh up

# kubectl for the cluster in use: arguments and standard input are passed on
[no-exit-message]
kubectl *ARGS:
    @tests/cluster/kubectl "$@"

# the operator's log; follow it with -f
[no-exit-message]
logs *ARGS:
    @tests/cluster/kubectl -n redis-operator-system logs deployment/redis-operator "$@"

# stop the local cluster; nothing is left but the cache
down:
    @tests/cluster/cluster down

# compile the operator
build:
    cargo build --release --locked

# compile the operator and build its image from Dockerfile
image:
    @tests/deploy.sh image

# every test: what CI runs
test:
    @tests/run.sh all

# unit tests, golden files, the webhooks through their router and over TLS
test-unit:
    @tests/run.sh unit

# a million fresh quantities and 200,000 images against Go's own parsers; QUANTITIES, IMAGES, SEED choose others
test-differential:
    @tests/run.sh differential

# random accepted configurations on real servers; CONFIGS=20000 tries that many each
test-servers:
    @tests/run.sh servers

# fuzz what reads strangers' input, steered by coverage: SECONDS (600) and targets, or a file and its target
fuzz *ARGS:
    @fuzz/run.sh "${@:-600}"

# tests against an API server with no node
test-control-plane:
    @tests/run.sh control-plane

# tests with real Redis pods, the operator deployed from manifests/
test-cluster:
    @tests/run.sh cluster

# how fast it is, with the machine's load beside it; webhooks, scale or ready for that part alone
bench *ARGS:
    @tests/bench.sh "$@"

# rewrite the manifests and the page of directives, which are made from the code
generate: build
    {{ program }} crd > manifests/crd.yaml
    {{ program }} rbac > manifests/rbac.yaml
    {{ program }} webhooks > manifests/webhooks.yaml
    {{ program }} directives > docs/directives.md

# rewrite the golden files of the built objects
golden:
    UPDATE_GOLDEN=1 cargo test --locked --test golden

# print the CustomResourceDefinition
crd:
    @cargo run --release --locked --quiet -- crd

# format the code
fmt:
    cargo fmt

# check format, lints and shell scripts
lint:
    @tests/run.sh lint

# licences, bans, sources and advisories of what the project is built from
deny:
    cargo deny --version 2>/dev/null || cargo install --locked cargo-deny
    cargo deny check
