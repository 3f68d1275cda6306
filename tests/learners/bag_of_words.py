"""A learner of one's own, complete: logistic regression on the words of a text."""

from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from al_bench.config.schema import at_least
from al_bench.data.corpus import Labels
from al_bench.learners.base import UNWATCHED, BasicLearner, FitCosts, FitSeeds, Model, Unlabelled, Watch
from al_bench.learners.families import learner
from al_bench.learners.predictions import Parts, Predictions


@learner(tasks=("classification",), gives=("weights",), reads=())
@dataclass(eq=False, kw_only=True)
class BagOfWords(BasicLearner):
    """Logistic regression on TF-IDF."""

    strength: float = at_least(1e-6, "1 is usual", 10.0)

    def fit(
        self,
        inputs: Unlabelled,
        ids: np.ndarray,
        labels: Labels,
        seeds: FitSeeds,
        *,
        weights: np.ndarray | None = None,
        watch: Watch = UNWATCHED,
    ) -> Model:
        texts = [inputs.inputs[i] for i in ids]
        pipeline = make_pipeline(TfidfVectorizer(token_pattern=r"\S+"), LogisticRegression(C=self.strength))
        pipeline.fit(texts, labels, logisticregression__sample_weight=weights)
        words = sum(len(text.split()) for text in texts)
        return BagModel(pipeline, len(self.label_names), FitCosts(1, 1, len(ids), len(ids), words))


class BagModel(Model):
    def __init__(self, pipeline: Pipeline, classes: int, costs: FitCosts) -> None:
        super().__init__(costs, dev_score=None, margins=None)
        self.pipeline, self.classes = pipeline, classes

    def parts(self, inputs: Unlabelled, ids: np.ndarray, *, exact: bool = False, embeddings: bool = False) -> Parts:
        probs = np.zeros((len(ids), self.classes), dtype=np.float32)
        if len(ids):
            probs[:, self.pipeline.classes_] = self.pipeline.predict_proba([inputs.inputs[i] for i in ids])
        yield np.arange(len(ids)), Predictions(probs)
