# Everything that CI runs.
test *part:
    ./test {{part}}

# Faults under load for so many minutes, beside the short forms that `just test` runs.
soak minutes="12":
    SOAK_MINUTES={{minutes}} ./test e2e -m soak

# The quick checks, without a database of their own.
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# The service, with ./lightsout.toml.
run *args:
    cargo run -- serve {{args}}

# Measures everything beside its bare counterpart and writes docs/benchmarks.md; `just bench quick`,
# or single parts (`just bench group growth`), write to target/bench/ instead.
bench *parts:
    cargo build --release -p lightsout -p lightsout-bench
    target/release/lightsout-bench {{parts}}

# Bytes and time to the first byte of each page of the console, with 100,000 people and 1,000,000
# sessions; `just pages --database postgres` needs LIGHTSOUT_TEST_POSTGRES and psql.
pages *args:
    cargo build --release
    LIGHTSOUT_BIN=target/release/lightsout .test/venv/bin/python tests/e2e/pages.py {{args}}

# What the client adds to a bare call, and how long 100,000 logins from a file take.
bench-client:
    cargo build --release
    cargo run --release -p lightsout-testkit --example bench_client

# What one check of a barrier guard costs inside an app.
bench-guard:
    cargo run --release -p lightsout-testkit --example bench_guard

fmt:
    cargo fmt

# Licences, sources and banned crates; cargo-deny must be installed.
deny:
    cargo deny check bans licenses sources
