#!/usr/bin/env bash
# Fixed shares for TracIn to drop, and its rivals: configured for the paper, never published.
# On one GPU: scripts/reproduce_filters.sh    On a cluster: scripts/reproduce_filters.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/plasm_fixed_shares
    paper/conll2003/plasm_fixed_shares
    paper/ag_news/plasm_filters
    paper/conll2003/plasm_filters
" "$@"
