# Everything that CI runs.
test *part:
    ./test {{part}}

# The quick checks, without a database of their own.
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# The service, with ./lightsout.toml.
run *args:
    cargo run -- serve {{args}}

# Prints figures of this machine, each beside a bare one.
bench:
    cargo run --release -p lightsout-server --example bench

fmt:
    cargo fmt

# Licences, sources and banned crates; cargo-deny must be installed.
deny:
    cargo deny check bans licenses sources
