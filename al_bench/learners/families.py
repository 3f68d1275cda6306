"""Every kind of learner by its name in `ModelConfig.learner`."""

from al_bench.learners.linear import LinearLearner
from al_bench.learners.transformer import TransformerLearner

LEARNERS: dict[str, type[TransformerLearner] | type[LinearLearner]] = {
    "transformer": TransformerLearner,
    "linear": LinearLearner,
}
