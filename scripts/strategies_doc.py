"""Make docs/strategies.md of the registries and of docs/strategies.csv, which scripts/bench_strategies.py measures.

python scripts/strategies_doc.py            # writes the page; a test fails where it is stale
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench_strategies import QUERIED, RESULTS, SIZES, WIDTH, read

from al_bench.acquisition.strategies import STRATEGIES
from al_bench.acquisition.subsampling import CANDIDATE_POOLS
from al_bench.config.schema import TASKS
from al_bench.plugins import Component

PAGE = RESULTS.with_suffix(".md")
SCORES = RESULTS.with_name("brackets.csv")
HEAD = f"""# Query strategies and candidate pools

<!-- made by scripts/strategies_doc.py; do not edit -->

`strategy=NAME` and `subsampling=NAME` choose one; `al-bench ls strategies` and `al-bench ls subsamplings` list them,
with those that you have installed; [extending.md](extending.md) says how to write one.

- **needs**: `predictions`, `embeddings` (inputs of the last layer) and `samples` (Monte Carlo dropout) are of the
  acquisition model as it is fitted in each cycle; `pretrained` (vectors) and `surprisal` (losses of the masked
  language model) of its encoder before any fit. What needs nothing of the fitted model fits none. `gold` looks at
  labels that no annotator has given: a bracket, not a method. `python scripts/train_mlm.py` trains a masked language
  model on unlabelled texts, for an encoder that comes without one.
- **cost**: beside the passes of the model that the needs tell, with n candidates, b queried and m labelled examples.
- **CPU seconds** of one query, beside these passes: {QUERIED} examples of 1,000 to 1,000,000 candidates with synthetic
  vectors of {WIDTH} directions, on one thread ({{processor}}). `python scripts/bench_strategies.py` measures them.
"""


BRACKETS = """
## Is a strategy better than its opposite?

The opposite (`strategy.batch=bottom`, a bracket) is a strategy's order read from its end: the least uncertain texts,
the largest margins, those farthest from the centres. BADGE, BAIT and the two coresets order no more than they query;
each is asked for all candidates but a batch, and its opposite queries what it leaves: near-copies of other texts
(BADGE, coreset), texts whose labels are missed the least (BAIT). They select all that greedily, quadratically in the
candidates, so that their rows, tops and bottoms, are of 1,000 candidates drawn in each round: 0.2 (BADGE) to 5.5
(BAIT) CPU seconds a query. The opposite of all others costs as much as they do.

Scores at the last budget x 100 (accuracy; CoNLL-2003: F1 of spans) of a linear head on frozen MiniLM-L6, and paired
differences with 95 % intervals over six seeds. A strategy whose order means something is far above its opposite.
Whether it also beats *random* is another question, which depends on model, data and budget; six seeds are few for it.
`gold_loss` looks at the gold labels and is a bracket itself.

On TREC-6 each strategy but ALPS beats its opposite. ALPS and its *random* are of another encoder: the first three
layers of MiniLM, whose masked language model `scripts/train_mlm.py` trained on the questions (`--epochs 4`). A
question has some ten sub-words, of which ALPS looks at the losses of one or two: too little, it seems, for clusters
that mean something.

On CoNLL-2003 each that looks at doubt beats its opposite, by 15 to 20 points; the coresets and k-means, which look at
vectors of sentences alone, are 1 to 3 points above theirs (the interval of one of them holds 0); Mahalanobis distance
and DDU are not above theirs. With this frozen encoder, how far the words of a sentence are from those that are labelled
does not tell what the sentence is worth. In a fine-tuned one it may: with MiniLM-L3 as acquisition model (budgets of
750 words, `training.learning_rate=3e-4`, `epochs=5`, `min_steps=150`) Mahalanobis distance was above its opposite by 18
and 12 points (42 and 41 against 24 and 30), but these are two seeds. MNLP, entropy and cluster-margin are better
choices for tagging.

Budgets of CoNLL-2003 count words, as in the paper, since labelling a long sentence costs more. Where they count
sentences, a strategy that asks for long ones gets more words for its budget, and seems better than its opposite. The
mean of Mahalanobis distances over words, which the table is of, asks for short sentences; their sum, which the code
of Vazhentsev et al. ("Uncertainty Estimation of Transformer Predictions for Misclassification Detection", ACL 2022)
takes for a sentence, for long ones (`strategy.aggregate`; in sentences, 50 labelled and three queries of 50):

| Mahalanobis distance, top − bottom | mean | sum | max |
|---|---:|---:|---:|
| budgets in sentences | -10.2 (6 seeds) | +9.4 (3) | – |
| budgets in words | -0.3 (6) | -5.4 (3) | -6.5 (3) |

```sh
al-bench run +experiment=brackets dataset.path=FOLDER strategy=random,entropy,...    # 60 labelled, five queries of 60
al-bench run +experiment=brackets dataset.path=FOLDER strategy=badge,bait,coreset,coreset_pretrained \\
  subsampling=random subsampling.gamma=1000
al-bench run +experiment=brackets dataset=conll2003 dataset.path=FOLDER dataset.limit.train=3000 \\
  dataset.limit.test=1500 schedule.unit=words schedule.initial=700 schedule.step=700 schedule.cycles=3 \\
  strategy=random,mnlp,...    # 700 words labelled, three queries of 700
al-bench tables brackets
```
"""
SHOWN = ("top", "bottom", "top − bottom", "random", "top − random")


def page() -> str:
    rows = read(RESULTS)
    processors = ", ".join(sorted({row["processor"] for row in rows.values()}))
    seconds = {key: row["seconds"] for key, row in rows.items()}
    parts = [HEAD.replace("{processor}", processors), "## Strategies\n"]
    parts += table("strategy", STRATEGIES.shipped, seconds)
    parts += [
        "\n## Candidate pools\n",
        "What a round of subsampling costs, for which the strategy then looks at less.\n",
    ]
    parts += table("subsampling", {k: v for k, v in CANDIDATE_POOLS.shipped.items() if k != "none"}, seconds)
    parts += [BRACKETS, *brackets()]
    return "\n".join(parts) + "\n"


def brackets() -> Iterable[str]:
    """A row for each data set, strategy and number of candidates."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(line for line in file if not line.startswith("#")))
    rows: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for cell in cells:
        key = (cell["dataset"], f"`{cell['strategy_name']}`", f"{float(cell['gamma']):,g}" if cell["gamma"] else "pool")
        rows.setdefault(key, {})[cell["column"]] = cell
    yield f"| data | strategy | candidates | {' | '.join(SHOWN)} |"
    yield f"|---|---|---|{'---:|' * len(SHOWN)}"
    for key, columns in rows.items():
        yield f"| {' | '.join(key)} | {' | '.join(score(columns[name]) for name in SHOWN)} |"


def score(cell: Mapping[str, str]) -> str:
    if not cell["mean"]:
        return "–"
    mean, low, high = (float(cell[key]) for key in ("mean", "low", "high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" if cell["show"] == "difference" else f"{mean:.1f}"


def table(component: str, kinds: Mapping[str, Component], seconds: Mapping[Any, str]) -> Iterable[str]:
    yield f"| name | asks for | task | needs | cost | parameters | source | {' | '.join(f'{n:,}' for n in SIZES)} |"
    yield f"|{'---|' * 7}{'---:|' * len(SIZES)}"
    for name, kind in kinds.items():
        facts: Any = kind
        title = f"`{name}`" + (" (bracket)" if getattr(facts, "bracket", False) else "")
        task = "both" if set(facts.tasks) == set(TASKS) else facts.tasks[0]
        needs = ", ".join(facts.needs) or ("last scores" if getattr(facts, "needs_scores", False) else "–")
        settings = ", ".join(f"{key}={value}" for key, value in kind.defaults.items())
        measured = (seconds.get((component, name, n), "–") for n in SIZES)
        cost = facts.cost
        cells = (title, kind.summary, task, needs, cost, settings or "–", facts.source or "–", *measured)
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd())}" if PAGE.is_relative_to(Path.cwd()) else f"wrote {PAGE}")
