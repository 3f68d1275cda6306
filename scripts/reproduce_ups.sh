#!/usr/bin/env bash
# UPS: unlabelled pool subsampling, alone and with PLASM.
# On one GPU: scripts/reproduce_ups.sh    On a cluster: scripts/reproduce_ups.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/ups
    paper/conll2003/ups
    paper/ag_news/plasm_ups
    paper/conll2003/plasm_ups
" "$@"
