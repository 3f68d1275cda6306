#!/usr/bin/env bash
# Other gammas and temperatures of UPS, and its rivals: random and naive subsampling.
# On one GPU: scripts/reproduce_subsampling.sh    On a cluster: scripts/reproduce_subsampling.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/ups_grid
    paper/conll2003/ups_grid
    paper/ag_news/subsampling
    paper/conll2003/subsampling
" "$@"
