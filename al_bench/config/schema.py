"""The typed schema of a run, with the values that each key may have, and the folder of the shipped configs.

`configs/` composes to a `RunConfig`. Hydra checks its names and types, `rules.py` its values: those that `one_of` and
`between` declare here, and what concerns several keys. `resolution.py` fills in every open value. All of it works on
the config alone: no data, no model, no torch.
"""

from dataclasses import Field, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

TASKS = ("classification", "tagging")
PLAIN_TAGGING = "plain tagging"  # tagging with tags that are no spans, such as parts of speech
COLUMN_ROLES = ("text", "label", "words", "tags")  # of a table

SOURCE = ("path", "package", "hub", "revision", "sha256")  # keys of a model's files


def shipped_configs() -> Path:
    """The config tree: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_configs"
    return installed if installed.is_dir() else package.parent / "configs"


def one_of(*values: str, default: str | None = None) -> Any:
    """A key with one of these values; the first is the default."""
    return field(default=default or values[0], metadata={"one_of": values})


def between(low: float, high: float, remedy: str, default: float | None = None) -> Any:
    """A key with a number from `low` to `high`, or null. remedy: of the message that refuses another number"""
    return field(default=default, metadata={"between": (low, high, remedy)})


def at_least(low: float, remedy: str, default: float | None = None) -> Any:
    return between(low, inf, remedy, default)


def of_texts(key: Any) -> Any:
    """A key, or its default, that says nothing of words: in tagging it keeps the default."""
    default, metadata = (key.default, key.metadata) if isinstance(key, Field) else (key, {})
    return field(default=default, metadata={**metadata, "task": "classification"})


def seed(default: int | None = None) -> Any:
    return between(0, 2**63 - 1, "any whole number", default)


@dataclass
class SplitNames:
    """Names of the splits in the source: hub splits, or file stems in a folder. The first that exists is used."""

    train: list[str] = field(default_factory=lambda: ["train"])
    dev: list[str] = field(default_factory=lambda: ["dev", "devel", "validation", "valid"])
    test: list[str] = field(default_factory=lambda: ["test"])


@dataclass
class Limits:
    """Keep a seeded random part of a split: this many examples. null keeps all."""

    train: int | None = at_least(1, "set a number of examples, or null for all")
    dev: int | None = at_least(1, "set a number of examples, or null for all")
    test: int | None = at_least(1, "set a number of examples, or null for all")


@dataclass
class DatasetConfig:
    """Where a corpus comes from: `path` if given, else an installed `package`, else the `hub`."""

    name: str = "???"
    task: str = one_of(*TASKS, default="???")
    path: str | None = None  # a file, or a folder with one file per split or one folder per class
    format: str = "auto"  # auto | folder | see `al-bench ls readers`, or MODULE:ATTRIBUTE of your own
    params: dict[str, Any] = field(default_factory=dict)  # of such a reader, its own
    package: str | None = None  # "module:path/inside/it.csv" of an installed package
    hub: str | None = None  # "owner/name" on the Hugging Face hub
    hub_config: str | None = None
    revision: str | None = None  # commit or branch of the hub repository
    splits: SplitNames = field(default_factory=SplitNames)
    # Columns, one or a list. Several texts are joined by blanks; of the others the first that exists is used.
    text: Any = field(default_factory=lambda: ["text"])
    label: Any = field(default_factory=lambda: ["label"])  # of the class
    words: Any = field(default_factory=lambda: ["tokens", "words"])  # of the word list
    tags: Any = field(default_factory=lambda: ["ner_tags", "tags"])  # of the tag list
    answers: str | None = None  # column with the answers of oracle=column, in tables
    header: bool = True  # CSV: false where the first line is an example; columns are then 0, 1, 2, ...
    quoting: bool | None = None  # CSV: whether fields can be quoted; null finds it out
    missing: str = one_of("refuse", "drop")  # what becomes of a row without a text or a label
    word_column: int = 0  # CoNLL files: column of the word, 0-based
    tag_column: int = -1  # CoNLL files: column of the tag, negative counts from the end
    # Of the tags in the source; bilou: also BIOES and BMES, io: bare types, none: tags that are no spans, such as POS.
    scheme: str = one_of("auto", "iob1", "iob2", "bilou", "io", "none")
    label_names: list[str] | None = None  # names of integer labels where the source has none
    # Keep only rows whose column has this value. Not null, onto which the command line could not put a mapping.
    where: dict[str, str] | None = field(default_factory=dict)
    delimiter: str = "auto"  # CSV: auto looks at the first line (comma, semicolon or tab)
    encoding: str = "utf-8"
    limit: Limits = field(default_factory=Limits)
    test_share: float = 0.2  # cut from train where the source has no test split
    split_seed: int = seed(0)  # of that cut and of `limit`; apart from `seed`, so that all seeds share one test set
    # Sizes of the training split as shipped; only `al-bench plan` reads them.
    train_examples: int | None = None
    train_words: int | None = None

    @property
    def kind(self) -> str:
        """The task, or `PLAIN_TAGGING`."""
        return PLAIN_TAGGING if self.task == "tagging" and self.scheme == "none" else self.task

    def __post_init__(self) -> None:
        """Columns become lists of names: those of a table without a header are numbers."""
        for role in COLUMN_ROLES:
            names = getattr(self, role)
            names = [names] if isinstance(names, str | int) else names
            if isinstance(names, list):
                setattr(self, role, [str(name) if isinstance(name, int) else name for name in names])


@dataclass
class TrainingConfig:
    """How a model is fitted. null: the top-level `training`, then the paper's value for the task."""

    learning_rate: float | None = between(0, 1, "the paper uses 2e-5 (classification) and 5e-5 (tagging)")
    weight_decay: float | None = between(0, 1, "the paper uses 0.01")
    epochs: int | None = at_least(1, "the paper uses 10 (classification) and 15 (tagging)")
    # Small-data rule: a small labelled set has smaller batches and more epochs, up to this many gradient steps.
    min_steps: int | None = at_least(0, "0 switches the small-data rule off")
    batch_size: int | None = at_least(1, "the paper uses 16")  # examples
    min_batch_size: int | None = at_least(1, "the paper uses 4")  # of the small-data rule
    warmup: float | None = between(0, 1, "it is a share of all steps; the paper uses 0.1")
    clip: float | None = at_least(1e-8, "the paper uses 1.0")  # gradient norm
    dropout: float | None = between(0, 0.99, "the paper uses 0")  # of the classification head
    # Held out of the labelled examples for early stopping.
    dev_share: float | None = between(0, 0.9, "0 trains without a dev split")
    patience: int | None = at_least(1, "it counts epochs")  # without a better dev score; needs dev_share


@dataclass
class ModelConfig:
    """An encoder: `path` if given, else an installed `package`, else the `hub`. The name "none" is of no model.

    Learners of your own need not have an encoder; the keys of one then are null.
    """

    name: str = ""  # in tables and folders; empty: the last part of `path` or `hub`, or the package, or the learner
    learner: str = "transformer"  # see `al-bench ls learners`, or MODULE:ATTRIBUTE of your own
    params: dict[str, Any] = field(default_factory=dict)  # the learner's own settings
    path: str | None = None  # a folder as written by save_pretrained
    package: str | None = None  # "module:folder/inside/it" of an installed package
    hub: str | None = None
    revision: str | None = None
    # Of model.safetensors, or of all shards one after another (cat model-*.safetensors | sha256sum); checked wherever
    # the weights come from.
    sha256: str | None = None
    num_hidden_layers: int | None = at_least(1, "or null for all layers")  # keep the first layers only
    # With special sub-words; null: 256 for classification, 512 for tagging.
    max_length: int | None = at_least(8, "counted in sub-words")
    # linear: C of scikit-learn's logistic regression, the smaller the stronger
    regularization: float = at_least(1e-9, "1 is usual", 0.01)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class StrategyConfig:
    name: str = "???"  # see `al-bench ls strategies`, or MODULE:ATTRIBUTE of your own
    # Tagging: mean | max | sum of the words' scores, or topK, the mean of the K highest; mnlp and random take none.
    aggregate: str = "mean"
    # How a batch is made: the top, its opposite (bottom: the end of the order; a bracket), or a draw that prefers high
    # scores (Kirsch et al. 2023).
    batch: str = one_of("top", "bottom", "power", "softmax", "soft_rank")
    beta: float = at_least(1e-6, "1 is usual", 1.0)  # of such a draw: the greater, the more it prefers the top
    # Tagging: sentences in which the model predicts no entity are scored like others, or queried last.
    no_entity: str = one_of("score", "last")
    params: dict[str, Any] = field(default_factory=dict)  # the strategy's own


@dataclass
class SubsamplingConfig:
    name: str = "none"  # see `al-bench ls subsamplings`, or MODULE:ATTRIBUTE of your own
    gamma: int | float | None = None  # share (float) of the pool, or count (int; random and naive)
    temperature: float | None = None  # ups
    refresh: Any = "none"  # query rounds that score the whole pool: a list of 0-based rounds, "all" or "none"
    params: dict[str, Any] = field(default_factory=dict)  # of others, their own


@dataclass
class LabelPrice:
    """Of one label, in any currency; an abstention costs nothing. null: no price is known."""

    example: float | None = at_least(0, "a price is not negative")
    word: float | None = at_least(0, "a price is not negative")  # for every word of the example, in addition

    @property
    def is_known(self) -> bool:
        return self.example is not None or self.word is not None

    def of(self, examples: Any, words: Any) -> Any:
        """Of so many examples with so many words in all; numbers, or arrays of them."""
        return (self.example or 0.0) * examples + (self.word or 0.0) * words


@dataclass
class OracleConfig:
    """Who answers the queries. Test labels are always gold."""

    name: str = "gold"  # see `al-bench ls oracles`, or MODULE:ATTRIBUTE of your own
    params: dict[str, Any] = field(default_factory=dict)  # the oracle's own
    price: LabelPrice = field(default_factory=LabelPrice)


@dataclass
class PriceConfig:
    hour: float | None = at_least(0, "a price is not negative")  # of the machine
    currency: str = ""  # of all prices, for display


@dataclass
class FilterConfig:
    """One filter of pseudo-labelled examples. It drops the most suspicious ones, and never gold examples."""

    by: str = "???"  # see `al-bench ls filters`, or MODULE:ATTRIBUTE of your own
    # A share of all pseudo-labelled examples, "adaptive" (1 - the labeller's dev score - the share that is dropped
    # already), or "disagreement" (of those that contradict labels: each that they do).
    drop: Any = "adaptive"
    threshold: float | None = None  # confidence, instead of `drop`: keep the labels above it
    checkpoints: int = at_least(1, "the paper uses 3", 3)  # tracin: last epochs whose weights are used
    neighbours: int = at_least(1, "10 is usual", 10)  # knn: gold examples that vote
    params: dict[str, Any] = field(default_factory=dict)  # of others, their own


@dataclass
class RelabelConfig:
    """Before a cycle's fit, a filter looks at the oracle's labels, at each label until it finds it suspicious once."""

    action: str = one_of("none", "drop", "ask")  # drop: from training sets; ask: for a second answer, paid again
    at: Any = "all"  # cycles: a list, or "all"
    # By a model that is cross-validated on what is labelled (verifier), or by margins (aum). drop: a share of labels.
    filter: FilterConfig = field(default_factory=lambda: FilterConfig("verifier", 0.1))
    folds: int = between(2, 20, "5 is usual", 5)
    oracle: OracleConfig | None = None  # who answers the second time; null: the same one


@dataclass
class PseudoLabelingConfig:
    """PLASM: the successor also learns from the rest of the pool, as the model `pseudo_labeler` labels it."""

    name: str = "none"  # none | anything else, a name for the settings below
    labels: str = one_of("hard", "soft")  # soft: the labeller's whole distribution
    # hard: share of a pseudo-label's mass that is spread over all labels
    smoothing: float = between(0, 0.99, "0.1 is usual", 0.0)
    # Weight of a gold example's loss; a pseudo-labelled one has 1.
    gold_weight: float = at_least(1e-6, "1 weighs all alike", 1.0)
    filters: list[FilterConfig] = field(default_factory=list)  # in this order


@dataclass
class ScheduleConfig:
    """Budgets: an int counts, a float is a share of the training split. In money every number is an amount."""

    initial: int | float = 0.01
    step: int | float = 0.01
    cycles: int = between(0, 100_000, "it counts queries", 15)  # cycles + 1 evaluation points
    unit: str = one_of("examples", "words", "money")  # money: by oracle.price
    stratified: bool = False  # seed set by class shares; classification
    seed_set: str | None = None  # a file of ids (one a line) instead of a draw
    seed_by: str = "random"  # or a strategy that looks at no fitted model, such as embedding_kmeans, which selects it


@dataclass
class SeedsConfig:
    """One seed per source of chance; null: `seed`."""

    seed_set: int | None = seed()
    model: int | None = seed()  # head initialisation and dropout
    order: int | None = seed()  # order and batches of training examples
    subsampling: int | None = seed()
    strategy: int | None = seed()  # random draws and ties of the strategy
    oracle: int | None = seed()  # its mistakes and abstentions


@dataclass
class RunConfig:
    name: str = "run"  # groups runs: a folder under output_dir/runs and an experiment in MLflow
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    acquisition: ModelConfig = field(default_factory=ModelConfig)
    # The acquisition schedule: the number of a cycle, and the model that acquires from that cycle on.
    acquisition_from: dict[str, ModelConfig] = field(default_factory=dict)
    successor: ModelConfig | None = None
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    subsampling: SubsamplingConfig = field(default_factory=SubsamplingConfig)
    oracle: OracleConfig = field(default_factory=OracleConfig)
    relabel: RelabelConfig = field(default_factory=RelabelConfig)
    price: PriceConfig = field(default_factory=PriceConfig)
    pseudo_labeling: PseudoLabelingConfig = field(default_factory=PseudoLabelingConfig)
    pseudo_labeler: ModelConfig | None = None  # trained on what is labelled, labels the rest of the pool
    # Of the filter `verifier`; null: the successor, trained on gold alone.
    verifier: ModelConfig | None = None
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)  # for every role
    evaluate_at: Any = "all"  # cycles at which the successor is fitted: "all", "last", "none" or a list
    metrics: list[str] = field(default_factory=list)  # more, see `al-bench ls metrics`, or MODULE:ATTRIBUTE of your own
    rescore: float = 0.0  # score the top candidates, this many times the query's size, again in float32
    replay: str | None = None  # a trajectory's folder, or a file of ids per cycle, instead of acquiring
    seed: int = seed(42)
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    device: str = "auto"  # auto | cpu | cuda | cuda:N | mps
    precision: str = one_of("auto", "float32", "bfloat16")
    engine: str = one_of("fast", "plain")  # plain: as transformers computes, without any optimization
    output_dir: str = "outputs"
    tracking: str = "sqlite"  # sqlite (under output_dir) | none | an MLflow URI
    progress: str = one_of("auto", "bar", "plain", "none")


# Training budgets of the paper (Tsvigun et al., Findings of NAACL 2022) for transformers in plain AL.
_SHARED = {"weight_decay": 0.01, "batch_size": 16, "min_batch_size": 4, "warmup": 0.1, "clip": 1.0}
_SHARED |= {"dropout": 0.0, "dev_share": 0.0, "patience": 5}
PAPER_TRAINING: dict[str, dict[str, float | int]] = {
    "classification": {"learning_rate": 2e-5, "epochs": 10, "min_steps": 350, **_SHARED},
    "tagging": {"learning_rate": 5e-5, "epochs": 15, "min_steps": 1000, **_SHARED},
}
# With pseudo-labels, the labeller stops early, and the successor sees many more examples.
PAPER_PSEUDO_LABELER = {"dev_share": 0.1}
PAPER_ON_PSEUDO_LABELS = {"epochs": 5, "min_steps": 350}
PAPER_MAX_LENGTH = {"classification": 256, "tagging": 512}


def without_absent(config: RunConfig) -> RunConfig:
    """The same config, in which a role whose model is `none` has none."""
    roles = ("successor", "pseudo_labeler", "verifier")
    absent: dict[str, Any] = {role: None for role in roles if getattr(getattr(config, role), "name", "") == "none"}
    later = {start: model for start, model in config.acquisition_from.items() if model.name != "none"}
    return replace(config, acquisition_from=later, **absent)


def uses_pseudo_labels(config: RunConfig) -> bool:
    return config.pseudo_labeling.name != "none"
