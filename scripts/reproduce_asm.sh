#!/usr/bin/env bash
# Acquisition-successor mismatch: one model selects, another is trained.
# On one GPU: scripts/reproduce_asm.sh    On a cluster: scripts/reproduce_asm.sh hydra/launcher=submitit_slurm
exec "$(dirname "$0")/reproduce.sh" "
    paper/ag_news/asm_distilelectra
    paper/ag_news/asm_distilroberta
    paper/ag_news/asm_distilbert
    paper/ag_news/asm_mahalanobis
    paper/imdb/asm_distilroberta
    paper/conll2003/asm_distilbert
    paper/conll2003/asm_electra
    paper/conll2003/asm_bert
    paper/ontonotes5/asm_distilbert
" "$@"
