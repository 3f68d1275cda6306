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

Scores at the last budget x 100 (accuracy; CoNLL-2003: F1 of spans) of a linear head on frozen MiniLM-L6, and paired
differences with 95 % intervals over six seeds. *bottom* queries what a strategy wants least: a strategy whose scores
mean something is far above it. What orders the candidates without scores has no bottom. Whether a strategy also beats
*random* is another question, which depends on model, data and budget; six seeds are few for it. `gold_loss` looks at
the gold labels and is a bracket itself.

On CoNLL-2003 Mahalanobis distance and DDU are *below* their opposite. Budgets count sentences there, and a mean over
words asks for short ones: 3 to 6 words, 23 to 46 entities in a query of 50, where the opposite asks for 13 to 30 words
and 90 to 167 entities (seed 1). With these models they are no strategies for tagging.

```sh
al-bench run +experiment=brackets dataset.path=FOLDER strategy=entropy,...    # 60 labelled, five queries of 60
al-bench run +experiment=brackets dataset=conll2003 dataset.path=FOLDER dataset.limit.train=3000 \\
  dataset.limit.test=1500 schedule.initial=50 schedule.step=50 schedule.cycles=3 strategy=mnlp,...
al-bench run +experiment=brackets strategy.batch=top strategy=random,badge,...    # what has no bottom
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
    """A row for each data set and strategy."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(line for line in file if not line.startswith("#")))
    rows: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for cell in cells:
        rows.setdefault((cell["dataset"], cell["strategy_name"]), {})[cell["column"]] = cell
    yield f"| data | strategy | {' | '.join(SHOWN)} |"
    yield f"|---|---|{'---:|' * len(SHOWN)}"
    for (dataset, strategy), columns in rows.items():
        yield f"| {dataset} | `{strategy}` | {' | '.join(score(columns[name]) for name in SHOWN)} |"


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
