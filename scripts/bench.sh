#!/usr/bin/env bash
# Measures Smollama beside the same work written by hand (benches/limit), in one run: ratios, not absolute times.
#   scripts/bench.sh [size] [jobs] [nodes] [idle] [fan] [days] [journal] [mqtt] [apply] [backtest] [log] [day]     all of them by default
set -euo pipefail
cd "$(dirname "$0")/.."
what=("$@")
[ ${#what[@]} -gt 0 ] || what=(size jobs nodes idle fan days journal mqtt apply backtest log day)

# The same compiler, profile and target CPU for both sides.
export RUSTFLAGS="${RUSTFLAGS:--C target-cpu=native}"
export CARGO_TARGET_DIR="$PWD/target/bench"
built=
programs() {
    if [ -z "$built" ]; then
        cargo build --release --locked
        cargo build --release --locked --manifest-path benches/limit/Cargo.toml
        built=yes
    fi
}
for one in "${what[@]}"; do
    case "$one" in
        jobs | idle | fan | days | size | journal | apply | backtest)
            programs
            python3 scripts/bench.py "$one" "$CARGO_TARGET_DIR/release"
            ;;
        mqtt)
            programs
            python3 scripts/bench_mqtt.py "$CARGO_TARGET_DIR/release"
            ;;
        nodes) cargo bench --locked -p smollama-nodes --bench transforms ;;
        log) cargo test --release --locked -p smollama-store log::tests::figures -- --ignored --nocapture --test-threads 1 ;;
        # Counts and no times, so the build that other tests use will do.
        day) env -u RUSTFLAGS -u CARGO_TARGET_DIR cargo test --locked -p smollama-supervisor --lib tests::day::figures -- --ignored --nocapture ;;
        *) echo "bench.sh: there is no part \`$one\`; the parts are size, jobs, nodes, idle, fan, days, journal, mqtt, apply, backtest, log, day" >&2; exit 2 ;;
    esac
done
