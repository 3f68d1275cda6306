"""The typed schema of a run, and where the shipped configs are.

`RunConfig` is what `configs/` composes to. Hydra checks names and types against it, `rules.py` what needs
more than one field; `resolve` fills in every value that was left to a default. All of it works on the config
alone: no data, no model, no torch.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from al_bench.errors import reject

PACKAGE = Path(__file__).parent.parent


def shipped_configs() -> Path:
    """The config tree: inside the package in a wheel, beside it in a checkout."""
    installed = PACKAGE / "_configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


# ---------------------------------------------------------------------------------------------- the schema


@dataclass
class SplitNames:
    """Names under which a split is looked for: hub split names, or file stems in a folder; first found wins."""

    train: list[str] = field(default_factory=lambda: ["train"])
    dev: list[str] = field(default_factory=lambda: ["dev", "validation", "valid"])
    test: list[str] = field(default_factory=lambda: ["test"])


@dataclass
class Limits:
    """Keep a seeded random part of a split: this many examples. null keeps all."""

    train: int | None = None
    dev: int | None = None
    test: int | None = None


@dataclass
class DatasetConfig:
    """Where a corpus comes from: `path` if given, else an installed `package`, else the `hub`."""

    name: str = "???"
    task: str = "???"  # classification | tagging
    path: str | None = None  # a file, or a folder with one file per split or one folder per class
    format: str = "auto"  # auto | conll | csv | json | parquet | folder
    package: str | None = None  # "module:path/inside/it.csv" of an installed package
    hub: str | None = None  # "owner/name" on the Hugging Face hub
    hub_config: str | None = None
    revision: str | None = None  # commit or branch of the hub repository
    splits: SplitNames = field(default_factory=SplitNames)
    text: list[str] = field(default_factory=lambda: ["text"])  # column of the text; first found wins
    label: list[str] = field(default_factory=lambda: ["label"])  # column of the class
    words: list[str] = field(default_factory=lambda: ["tokens", "words"])  # column of the word list
    tags: list[str] = field(default_factory=lambda: ["ner_tags", "tags"])  # column of the tag list
    word_column: int = 0  # CoNLL files: column of the word, 0-based
    tag_column: int = -1  # CoNLL files: column of the tag, negative counts from the end
    scheme: str = "auto"  # auto | iob1 | iob2 | bilou: how spans are written in the source
    label_names: list[str] | None = None  # names of integer labels where the source has none
    # Keep only rows whose column has this value. Not null, onto which the command line could not put a mapping.
    where: dict[str, str] | None = field(default_factory=dict)
    delimiter: str = "auto"  # CSV: auto looks at the first line (comma, semicolon or tab)
    encoding: str = "utf-8"
    limit: Limits = field(default_factory=Limits)
    test_share: float = 0.2  # cut from train where the source has no test split
    split_seed: int = 0  # of that cut and of `limit`; apart from `seed`, so that all seeds share one test set
    train_examples: int | None = (
        None  # in the training split as shipped; only `al-bench plan` reads these two
    )
    train_words: int | None = None


@dataclass
class TrainingConfig:
    """How a model is fitted. null: the top-level `training`, then the paper's value for the task."""

    learning_rate: float | None = None
    weight_decay: float | None = None
    epochs: int | None = None
    min_steps: int | None = None  # gradient steps that a small labelled set is brought up to
    batch_size: int | None = None  # examples
    min_batch_size: int | None = None  # the small-data rule shrinks the batch no further than this
    warmup: float | None = None  # share of all steps
    clip: float | None = None  # gradient norm
    dropout: float | None = None  # of the classification head
    dev_share: float | None = None  # held out of the labelled examples for early stopping; 0: none
    patience: int | None = None  # epochs without a better dev score; needs dev_share


@dataclass
class ModelConfig:
    """An encoder: `path` if given, else an installed `package`, else the `hub`."""

    name: str = "???"
    learner: str = (
        "transformer"  # transformer: all of it is fine-tuned | linear: a linear head on frozen embeddings
    )
    path: str | None = None  # a folder as written by save_pretrained
    package: str | None = None  # "module:folder/inside/it" of an installed package
    hub: str | None = None
    revision: str | None = None
    sha256: str | None = None  # of model.safetensors; checked wherever the weights come from
    num_hidden_layers: int | None = None  # keep the first layers only
    max_length: int | None = None  # sub-words with special ones; null: 256 classification, 512 tagging
    regularization: float = 0.01  # linear: C of scikit-learn's logistic regression, the smaller the stronger
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class StrategyConfig:
    name: str = "???"  # a key of al_bench.acquisition.strategies.STRATEGIES
    aggregate: str = "mean"  # tagging: mean | max | sum of the words' scores; mnlp and random take none


@dataclass
class SubsamplingConfig:
    name: str = "none"  # none | random | naive | ups
    gamma: int | float | None = None  # share (float) of the pool, or count (int; random and naive)
    temperature: float | None = None  # ups
    refresh: Any = "none"  # query rounds that score the whole pool: a list of 0-based rounds, "all" or "none"


@dataclass
class FilterConfig:
    """One filter of pseudo-labelled examples; what it finds most suspicious is dropped, gold never is."""

    by: str = "???"  # tracin | confidence | verifier | knn | aum
    # A share of all pseudo-labelled examples, "adaptive" (1 - the labeller's dev score - what is dropped already),
    # or "disagreement" (verifier and knn: whoever they contradict).
    drop: Any = "adaptive"
    threshold: float | None = None  # confidence, instead of `drop`: keep what is above it
    checkpoints: int = 3  # tracin: last epochs whose weights are looked at
    neighbours: int = 10  # knn: gold examples that vote


@dataclass
class PseudoLabelingConfig:
    """PLASM: the successor also learns from the rest of the pool, as the model `pseudo_labeler` labels it."""

    name: str = "none"  # none | anything else, a name for the settings below
    labels: str = "hard"  # hard | soft: the labeller's whole distribution
    smoothing: float = 0.0  # hard: share of a pseudo-label's mass that is spread over all labels
    gold_weight: float = 1.0  # of a gold example's loss; a pseudo-labelled one counts 1
    filters: list[FilterConfig] = field(default_factory=list)  # in this order


@dataclass
class ScheduleConfig:
    """Budgets: an int counts, a float is a share of the training split."""

    initial: int | float = 0.01
    step: int | float = 0.01
    cycles: int = 15  # queries; cycles + 1 evaluation points
    unit: str = "examples"  # examples | words
    stratified: bool = False  # seed set by class shares; classification
    seed_set: str | None = None  # a file of ids (one a line) instead of a draw


@dataclass
class SeedsConfig:
    """One seed per source of chance; null: `seed`."""

    seed_set: int | None = None
    model: int | None = None  # head initialisation and dropout
    order: int | None = None  # order and batches of training examples
    subsampling: int | None = None
    strategy: int | None = None  # random draws and ties of the strategy


@dataclass
class RunConfig:
    name: str = "run"  # groups runs: a folder under output_dir/runs and an experiment in MLflow
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    acquisition: ModelConfig = field(default_factory=ModelConfig)
    successor: ModelConfig | None = None
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    subsampling: SubsamplingConfig = field(default_factory=SubsamplingConfig)
    pseudo_labeling: PseudoLabelingConfig = field(default_factory=PseudoLabelingConfig)
    pseudo_labeler: ModelConfig | None = None  # trained on gold, labels the rest of the pool
    verifier: ModelConfig | None = (
        None  # of the filter `verifier`; null: the successor, trained on gold alone
    )
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)  # for every role
    evaluate_at: Any = "all"  # cycles at which the successor is fitted: "all", "last", "none" or a list
    rescore: float = 0.0  # this many times the query's size, of its top candidates, scored again in float32
    replay: str | None = None  # a trajectory's folder, or a file of ids per cycle, instead of acquiring
    seed: int = 42
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    device: str = "auto"  # auto | cpu | cuda | cuda:N | mps
    precision: str = "auto"  # auto | float32 | bfloat16
    engine: str = "fast"  # fast | plain: plain computes as transformers does, without any optimization
    output_dir: str = "outputs"
    tracking: str = "sqlite"  # sqlite (under output_dir) | none | an MLflow URI
    progress: str = "auto"  # auto | bar | plain | none


# ------------------------------------------------------------------------------------- the paper's settings

TASKS = ("classification", "tagging")
ENGINES = ("fast", "plain")

# Filters that look back on a fit on everything that is pseudo-labelled, and filters that can contradict a label.
AFTER_A_FIT = ("tracin", "aum")
CONTRADICTING = ("verifier", "knn")
FILTERS = (*AFTER_A_FIT, *CONTRADICTING, "confidence")

# Training budgets of the paper (Tsvigun et al., Findings of NAACL 2022) for transformers in plain AL.
_SHARED = {"weight_decay": 0.01, "batch_size": 16, "min_batch_size": 4, "warmup": 0.1, "clip": 1.0}
_SHARED |= {"dropout": 0.0, "dev_share": 0.0, "patience": 5}
PAPER_TRAINING: dict[str, dict[str, float | int]] = {
    "classification": {"learning_rate": 2e-5, "epochs": 10, "min_steps": 350, **_SHARED},
    "tagging": {"learning_rate": 5e-5, "epochs": 15, "min_steps": 1000, **_SHARED},
}
# What differs where pseudo-labels are used: who writes them stops early, who learns from them sees many more examples.
PAPER_PSEUDO_LABELER = {"dev_share": 0.1}
PAPER_ON_PSEUDO_LABELS = {"epochs": 5, "min_steps": 350}
PAPER_MAX_LENGTH = {"classification": 256, "tagging": 512}


def resolve(config: RunConfig) -> RunConfig:
    """The same config with every value that was left open filled in (device and precision stay as asked)."""
    task = config.dataset.task
    pseudo = uses_pseudo_labels(config)

    def resolved(model: ModelConfig | None, **special: float | int) -> ModelConfig:
        assert model is not None
        length = model.max_length or PAPER_MAX_LENGTH[task]
        defaults = {**PAPER_TRAINING[task], **special, **_set(config.training)}
        return replace(model, max_length=length, training=_filled(model.training, defaults))

    dataset = config.dataset
    if dataset.path is not None:
        dataset = replace(dataset, path=str(Path(dataset.path).expanduser().absolute()))
    verified = any(chosen.by == "verifier" for chosen in config.pseudo_labeling.filters)
    return replace(
        config,
        dataset=dataset,
        acquisition=resolved(config.acquisition),
        successor=config.successor
        and resolved(config.successor, **(PAPER_ON_PSEUDO_LABELS if pseudo else {})),
        pseudo_labeler=resolved(config.pseudo_labeler, **PAPER_PSEUDO_LABELER) if pseudo else None,
        verifier=resolved(config.verifier or config.successor) if pseudo and verified else None,
        training=_filled(config.training, PAPER_TRAINING[task]),
        subsampling=replace(config.subsampling, refresh=refresh_rounds(config)),
        evaluate_at=evaluated_cycles(config),
        seeds=_filled(config.seeds, dict.fromkeys(vars(config.seeds), config.seed)),
    )


def uses_pseudo_labels(config: RunConfig) -> bool:
    return config.pseudo_labeling.name != "none"


def _set(settings: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(settings).items() if value is not None}


def _filled(settings: Any, defaults: dict[str, Any]) -> Any:
    missing = {f.name: defaults[f.name] for f in fields(settings) if getattr(settings, f.name) is None}
    return replace(settings, **missing)


def refresh_rounds(config: RunConfig) -> list[int]:
    """The query rounds, 0-based, in which the whole pool is scored."""
    refresh = config.subsampling.refresh
    if isinstance(refresh, list):
        return sorted({int(r) for r in refresh})
    if config.subsampling.name == "none" or refresh == "all":
        return list(range(config.schedule.cycles))
    return []


def evaluated_cycles(config: RunConfig) -> list[int] | str:
    """The cycles at which the successor is fitted; "last" where only the trajectory knows which that is."""
    if config.successor is None or config.evaluate_at in ("none", None, False):
        return []
    if isinstance(config.evaluate_at, list):
        return sorted({int(c) for c in config.evaluate_at})
    return config.evaluate_at


# ----------------------------------------------------------------------------------- from Hydra to dataclasses


def register_schema() -> None:
    """Let the config tree's defaults list name the schema, so that Hydra checks every option against it."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=RunConfig)


def from_hydra(composed: Any) -> RunConfig:
    """A composed config (without its `hydra` node) as a `RunConfig`: types checked, nothing filled in."""
    from omegaconf import OmegaConf

    # As plain values, because a node that `+key=value` opened for a new key would keep that key.
    merged = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.to_container(composed))
    missing = sorted(OmegaConf.missing_keys(merged))
    if missing:
        raise reject(missing[0], "???", "has no value", f"set {missing[0]}=...")
    config = OmegaConf.to_object(merged)
    assert isinstance(config, RunConfig)
    return config
