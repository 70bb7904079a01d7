#!/usr/bin/env bash
# Installs what the tests need, where it is missing, and runs all of them. Ends with the runners' own summary lines.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { # need COMMAND PACKAGE: has the package installed if there is no such command
    command -v "$1" >/dev/null 2>&1 && return
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$2"
}

need cc build-essential
need python3 python3
# A broker, on the path of services, and its clients.
PATH="$PATH:/usr/sbin" need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need openssl openssl
need ip iproute2
python3 -c 'import ensurepip, venv' 2>/dev/null || need no-such-command python3-venv

# Readers that others wrote open the history, and ours opens their files.
python3 scripts/check-parquet.py

cargo test --workspace --locked
