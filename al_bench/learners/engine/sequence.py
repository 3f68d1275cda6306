"""A network whose logits are the emissions of a CRF, as it is run and trained."""

import numpy as np
import torch

from al_bench.learners.engine.encoding import Encoded
from al_bench.learners.engine.forward import Forward
from al_bench.learners.engine.training import Examples, Stepper


class CrfForward(Forward):
    """Logits are log-marginals, so that probabilities are marginals; labels are those of the best paths."""

    def logits(self, encoded: Encoded, ids: np.ndarray, exact: bool = False, pack: bool | None = None) -> torch.Tensor:
        emissions = super().logits(encoded, ids, exact, pack)
        return self.network.crf.log_marginals(emissions, _chains(encoded, ids)) if len(emissions) else emissions

    def decided(
        self, encoded: Encoded, ids: np.ndarray, exact: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        emissions, crf, chains = super().logits(encoded, ids, exact), self.network.crf, _chains(encoded, ids)
        if not len(emissions):
            return emissions, torch.zeros(0, dtype=torch.long, device=emissions.device)
        return crf.log_marginals(emissions, chains), crf.best_paths(emissions, chains)


class CrfStepper(Stepper):
    def loss(self, logits: torch.Tensor, target: torch.Tensor, part: Examples) -> torch.Tensor:
        """Minus the sentences' log-likelihood, each times its weight, divided by the batch's words."""
        if not len(target):
            return logits.sum()
        likelihood = self.forward.network.crf.log_likelihood(logits, target, _chains(part.encoded, part.ids))
        if part.weights is not None:
            there = part.encoded.firsts.lengths[part.ids] > 0  # type: ignore[union-attr]
            likelihood = likelihood * torch.from_numpy(part.weights[there]).to(likelihood)
        return -likelihood.sum() / len(target)


def _chains(encoded: Encoded, ids: np.ndarray) -> np.ndarray:
    """The words of each sentence that has any."""
    assert encoded.firsts is not None
    lengths = encoded.firsts.lengths[ids]
    return lengths[lengths > 0]
