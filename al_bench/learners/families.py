"""Every kind of learner by its name in `ModelConfig.learner`, and what others know of it before torch is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from functools import cached_property
from typing import Any, get_type_hints

from al_bench.config.schema import TASKS, ModelConfig, TrainingConfig
from al_bench.learners.base import BasicLearner
from al_bench.learners.settings import BilstmCrf, Cnn, LinearSettings, LoraSettings
from al_bench.plugins import Component, Registry

# What a learner can give beside predictions: to strategies and candidate pools, to filters, to other pseudo-labels.
GIVES = ("embeddings", "samples", "pretrained", "surprisal", "influence", "margins", "soft labels", "weights")

READABLE = {key.name for key in fields(ModelConfig)} | {f"training.{key.name}" for key in fields(TrainingConfig)}


@dataclass(frozen=True)
class LearnerKind(Component):
    """A class that is derived from `base.BasicLearner`; see there for what builds it.

    gives: of `GIVES`; tasks: that it works on
    source: whether its models are files of weights, so that `path`, `package` or `hub` say where
    source_optional: whether they may also be without
    files: settings that are paths of files, which count by their content; a model has one of these or a source
    reads: keys of `ModelConfig`, beside these, that its models depend on
    epochs: whether a fit takes the epochs and steps that `training` says
    engine: whether it takes the engine's optimizations, which round differently
    training: values of `training` that are the paper's for a network that is fine-tuned as a whole, and others here
    """

    gives: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    source: bool = False
    source_optional: bool = False
    files: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("num_hidden_layers", "max_length", "regularization", "training")
    epochs: bool = False
    engine: bool = False
    training: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.gives) - set(GIVES):
            raise TypeError(f"gives={sorted(unknown)}, which nobody needs")
        if unknown := set(self.reads) - READABLE:  # results of models that differ in what counts would be shared
            raise TypeError(f"reads={sorted(unknown)}, which are no keys of a model")

    @classmethod
    def of(cls, thing: Any = None, params: type | None = None, **facts: Any) -> Any:
        if isinstance(thing, cls) or thing is None or (isinstance(thing, type) and issubclass(thing, BasicLearner)):
            return super().of(thing, params, **facts)
        raise TypeError("no class that is derived from al_bench.learners.base.BasicLearner")

    @cached_property
    def settings(self) -> type:
        """Of a dataclass its own keyword-only fields, with their limits."""
        if self.params is not None or not is_dataclass(self.call):
            return super().settings
        types, columns = get_type_hints(self.call), []
        for one in fields(self.call):
            if one.init and one.kw_only:
                default: Any = {"default": one.default, "default_factory": one.default_factory}
                columns.append((one.name, types[one.name], field(**default, metadata=one.metadata)))
        return make_dataclass("Settings", columns, kw_only=True)

    def has_source(self, model: ModelConfig) -> bool:
        """Whether this model is files of weights, or has to be."""
        named = (model.path, model.package, model.hub) != (None, None, None)
        return self.source and (named or not self.source_optional)

    @property
    def learner(self) -> type[BasicLearner]:
        """Imported at its first use."""
        return self.call  # type: ignore[return-value]


def fingerprint(role: str, model: ModelConfig) -> dict[str, str]:
    """What decides which model it is beside the config: hashes of its files, and of its learner's code."""
    hashes: dict[str, str] = {}
    if LEARNERS[model.learner].has_source(model):
        from al_bench.learners.engine.weights import identify  # imports transformers

        hashes = identify(role, model)
    code = LEARNERS.code(model.learner)
    return hashes if code is None else {**hashes, "code": code}


learner = LearnerKind.of
NO_SETTINGS = make_dataclass("Settings", [])  # stated, so that nobody imports torch to look for some
# Of networks whose words have vectors: from a file, from an encoder's table, or random ones.
WORDS: dict[str, Any] = {"source": True, "source_optional": True, "files": ("vectors",), "epochs": True}
WORDS["reads"] = ("max_length", "training")
# What is trained from random weights takes larger steps, and more of them, than what is fine-tuned.
FROM_SCRATCH = {"learning_rate": 1e-3, "weight_decay": 0.0, "dropout": 0.5}
LEARNERS = Registry(
    "learner",
    "learner",
    LearnerKind.of,
    {
        "transformer": LearnerKind(
            "al_bench.learners.transformer:TransformerLearner",
            "an encoder, fine-tuned as a whole",
            NO_SETTINGS,
            gives=GIVES,
            source=True,
            reads=("num_hidden_layers", "max_length", "training"),
            epochs=True,
            engine=True,
        ),
        "lora": LearnerKind(
            "al_bench.learners.lora:LoraLearner",
            "a frozen encoder or decoder with low-rank adapters (needs al-bench[lora])",
            LoraSettings,
            gives=GIVES,
            source=True,
            reads=("num_hidden_layers", "max_length", "training"),
            epochs=True,
            engine=True,
            # Chosen on held-out training examples of TREC-6, 300 labels: 0.88 at 1e-3 and 3e-3, 0.75 at 3e-4.
            training={"learning_rate": 1e-3},
        ),
        "linear": LearnerKind(
            "al_bench.learners.linear:LinearLearner",
            "a linear head on an encoder's frozen embeddings",
            LinearSettings,
            gives=GIVES,
            source=True,
            reads=("num_hidden_layers", "max_length", "regularization", "training.dev_share"),
            engine=True,
        ),
        "cnn": LearnerKind(
            "al_bench.learners.cnn:CnnLearner",
            "convolutions over word vectors, for classification",
            Cnn,
            gives=("embeddings", "samples", "influence", "margins", "soft labels", "weights"),
            tasks=("classification",),
            training={"epochs": 20, "min_steps": 350, "batch_size": 128, **FROM_SCRATCH},
            **WORDS,
        ),
        "bilstm_crf": LearnerKind(
            "al_bench.learners.bilstm_crf:BilstmCrfLearner",
            "a recurrent network over words and their characters with a conditional random field, for tagging",
            BilstmCrf,
            gives=("embeddings", "samples", "weights"),
            tasks=("tagging",),
            training={"epochs": 30, "min_steps": 350, "batch_size": 64, **FROM_SCRATCH},
            **WORDS,
        ),
    },
)
