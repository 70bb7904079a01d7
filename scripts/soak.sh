#!/usr/bin/env bash
# Kills the real process N times in each situation (`kill -9` at random moments) and prints what was missing and doubled:
#   scripts/soak.sh 1000                       all situations
#   scripts/soak.sh 100 load backlog           some: load, apply, rotation, compaction, backlog, mqtt, cuts (of connections to a
#                                              broker), topics (that somebody publishes to), site (of so many
#                                              topics, all honest: 100000)
#   PROFILE=release scripts/soak.sh 1000       with the release build
#   SMOLLAMA_SEED=17 scripts/soak.sh 30 apply  with the pauses of an earlier run
#   scripts/soak.sh disk                       no process: each call of a simulated disk crashes, fails, tears and fills up
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:?how many kills of each situation, or disk}
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
if [ "$kills" = disk ]; then
    SMOLLAMA_SOAK=1 cargo test --profile "${PROFILE:-dev}" -p smollama-supervisor --lib -- --nocapture tests:: >"$log" 2>&1 || status=$?
    echo '| test | calls or moments | seeds | runs |'
    echo '|---|---|---|---|'
    grep -o '| tests::.*' "$log" | sort || true
    grep '^test result' "$log" || true
    if [ "$status" != 0 ]; then
        cat "$log" >&2
    fi
    exit "$status"
fi
filters=()
for situation in "${@:-all}"; do
    case $situation in
        all) filters+=(p1_kill_9) ;;
        load) filters+=(moment_under_load) ;;
        apply) filters+=(moment_of_an_apply) ;;
        rotation) filters+=(moment_while_files_rotate) ;;
        compaction) filters+=(moment_while_the_history_is_merged) ;;
        backlog) filters+=(moment_with_a_backlog) ;;
        mqtt) filters+=(moment_over_mqtt) ;;
        cuts) filters+=(cut_again_and_again) ;;
        topics) filters+=(flood_of_topics) ;;
        site) filters+=(topics_of_a_large_site) ;;
        *) echo "there is no situation $situation" >&2; exit 2 ;;
    esac
done
SMOLLAMA_KILLS=$kills cargo test --profile "${PROFILE:-dev}" --test all -- --nocapture "${filters[@]}" >"$log" 2>&1 || status=$?
echo '| situation | kills | acknowledged | missing | doubled | time |'
echo '|---|---|---|---|---|---|'
grep '^| ' "$log" || true
if [ "$status" != 0 ]; then
    cat "$log" >&2
fi
exit "$status"
