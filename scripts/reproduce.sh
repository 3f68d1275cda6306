#!/usr/bin/env bash
# Plan, run and tabulate a block of the paper's experiments.
#
#     scripts/reproduce.sh BLOCK [DATASET ...] [DATASET.path=PATH ...] [overrides]
#
# On one GPU: scripts/reproduce.sh asm    On a cluster: scripts/reproduce.sh asm hydra/launcher=submitit_slurm
# One data set, from a folder: scripts/reproduce.sh asm conll2003 conll2003.path=/data/conll
# Every experiment has six seeds. Overrides go to every experiment: a launcher, other seeds, fewer cycles.
# PLAN=only stops after the plan. The same command continues an interrupted block.
set -euo pipefail
here=$PWD
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
chosen="" paths=() overrides=() output_dir=outputs
for word in "$@"; do
    name=${word%%.path=*}
    case $word in
        dataset.path=*)
            echo "reproduce.sh: $word: would be the data of every data set; write DATASET.path=${word#*=}" >&2
            exit 2
            ;;
        output_dir=*) output_dir=${word#output_dir=} overrides+=("$word") ;;
        *.path=*)
            if [ -d "configs/experiment/paper/$name" ]; then paths+=("$word"); else overrides+=("$word"); fi
            ;;
        *) if [ -d "configs/experiment/paper/$word" ]; then chosen+=" $word"; else overrides+=("$word"); fi ;;
    esac
done
experiments=$(
    cd configs/experiment
    for glob in $globs; do
        for dataset in ${chosen:-$(ls paper)}; do
            for file in paper/"$dataset"/$glob.yaml; do [ ! -f "$file" ] || echo "${file%.yaml}"; done
        done
    done
)
if [ -z "$experiments" ]; then
    echo "reproduce.sh: BLOCK=$block: has no experiment on$chosen; leave the data set out, or choose another" >&2
    exit 2
fi

# The words for an experiment: its data keep the data set's name wherever they lie.
words_of() {
    local dataset=${1#paper/} word path
    dataset=${dataset%%/*}
    words=(${overrides[@]+"${overrides[@]}"})
    for word in ${paths[@]+"${paths[@]}"}; do
        path=${word#*.path=}
        [ "$dataset" = "${word%%.path=*}" ] || continue
        case $path in /* | "~"*) ;; *) path=$here/$path ;; esac
        words+=("dataset.path=$path" "dataset.name=$dataset")
    done
}

if [ ${#paths[@]} -eq 0 ]; then
    al-bench plan "+experiment=${experiments//$'\n'/,}" ${overrides[@]+"${overrides[@]}"}
else
    for experiment in $experiments; do
        words_of "$experiment"
        al-bench plan "+experiment=$experiment" "${words[@]}"
    done
fi
[ "${PLAN:-}" = only ] && exit 0
failed=0
for experiment in $experiments; do
    words_of "$experiment"
    # A failed job records its reason; the other experiments go on.
    al-bench run "+experiment=$experiment" ${words[@]+"${words[@]}"} || failed=1
done
# The exit code is that of the runs; tables are made again in a moment.
al-bench tables --output-dir "$output_dir" ||
    echo "reproduce.sh: no tables; once that is mended: al-bench tables --output-dir $output_dir" >&2
exit $failed
