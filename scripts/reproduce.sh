#!/usr/bin/env bash
# Plan, run and tabulate a block of the paper's experiments.
#
#     scripts/reproduce.sh BLOCK [overrides]
#
# On one GPU: scripts/reproduce.sh asm    On a cluster: scripts/reproduce.sh asm hydra/launcher=submitit_slurm
# Every experiment has six seeds. Overrides go to every experiment: a launcher, other seeds, a local folder of data, fewer cycles.
# PLAN=only stops after the plan. The same command continues an interrupted block.
set -euo pipefail
cd "$(dirname "$0")/.."
block=${1:-}
shift || true
case $block in
    no_mismatch) globs="no_mismatch*" ;;              # each model selects for itself: the upper line of every plot
    random) globs="random" ;;                         # successors of random examples: the lower line, no acquisition fits
    asm) globs="asm_*" ;;                             # acquisition-successor mismatch: one selects, another is trained
    plasm) globs="plasm" ;;                           # pseudo-labels against the mismatch, on the trajectories of asm
    ups) globs="ups plasm_ups" ;;                     # unlabelled pool subsampling, alone and with PLASM
    threshold) globs="plasm_threshold" ;;             # PLASM with a confidence threshold before TracIn
    ceilings) globs="ceilings" ;;                     # every successor trained on all data
    subsampling) globs="ups_grid subsampling" ;;      # gammas and temperatures of UPS, and its rivals
    filters) globs="plasm_fixed_shares plasm_filters" ;; # fixed shares for TracIn to drop, and its rivals
    *)
        echo "reproduce.sh: BLOCK=$block: no such block; choose one of" \
            "asm, ceilings, filters, no_mismatch, plasm, random, subsampling, threshold, ups" >&2
        exit 2
        ;;
esac
experiments=$(
    cd configs/experiment
    for glob in $globs; do
        for file in paper/*/$glob.yaml; do echo "${file%.yaml}"; done
    done
)
output_dir=outputs
for word in "$@"; do
    case $word in output_dir=*) output_dir=${word#output_dir=} ;; esac
done

al-bench plan "+experiment=${experiments//$'\n'/,}" "$@"
[ "${PLAN:-}" = only ] && exit 0
failed=0
for experiment in $experiments; do
    # A failed job records its reason; the other experiments go on.
    al-bench run "+experiment=$experiment" "$@" || failed=1
done
# The exit code is that of the runs; tables are made again in a moment.
al-bench tables --output-dir "$output_dir" ||
    echo "reproduce.sh: no tables; once that is mended: al-bench tables --output-dir $output_dir" >&2
exit $failed
