#!/usr/bin/env bash
# PLASM: pseudo-labels against the mismatch; shares its trajectories with the asm block.
# On one GPU: scripts/reproduce_plasm.sh    On a cluster: scripts/reproduce_plasm.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/plasm
    paper/imdb/plasm
    paper/conll2003/plasm
    paper/ontonotes5/plasm
" "$@"
