#!/usr/bin/env bash
# No mismatch: each model selects for itself (the upper line of every plot).
# On one GPU: scripts/reproduce_no_mismatch.sh    On a cluster: scripts/reproduce_no_mismatch.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/no_mismatch
    paper/ag_news/no_mismatch_mahalanobis
    paper/imdb/no_mismatch
    paper/conll2003/no_mismatch
    paper/ontonotes5/no_mismatch
" "$@"
