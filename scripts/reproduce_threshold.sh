#!/usr/bin/env bash
# PLASM with a confidence threshold before TracIn.
# On one GPU: scripts/reproduce_threshold.sh    On a cluster: scripts/reproduce_threshold.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/plasm_threshold
" "$@"
