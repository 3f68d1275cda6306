#!/usr/bin/env bash
# Full-data ceilings of every successor.
# On one GPU: scripts/reproduce_ceilings.sh    On a cluster: scripts/reproduce_ceilings.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/ceilings
    paper/imdb/ceilings
    paper/conll2003/ceilings
    paper/ontonotes5/ceilings
" "$@"
