#!/usr/bin/env bash
# Plan, run and tabulate the experiments of one block of the paper; the scripts beside this one name the blocks.
#
#     scripts/reproduce.sh "EXPERIMENT ..." [overrides]
#
# Overrides go to every experiment: a launcher, other seeds, a local folder of data, fewer cycles.
# PLAN=only stops after the plan. Everything resumes: the same command does what is left.
set -euo pipefail
cd "$(dirname "$0")/.."
experiments=$1
shift
# shellcheck disable=SC2086  # the names are words
chosen=$(printf '%s,' $experiments)
al-bench plan "+experiment=${chosen%,}" "$@"
[ "${PLAN:-}" = only ] && exit 0
failed=0
for experiment in $experiments; do
    # A failed job leaves its reason behind; the other experiments go on.
    al-bench run "+experiment=$experiment" "$@" || failed=1
done
al-bench tables
exit $failed
