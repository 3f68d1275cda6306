#!/usr/bin/env bash
# Successors trained on random examples (the lower line); needs no acquisition fits.
# On one GPU: scripts/reproduce_random.sh    On a cluster: scripts/reproduce_random.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/random
    paper/imdb/random
    paper/conll2003/random
    paper/ontonotes5/random
" "$@"
