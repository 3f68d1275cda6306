"""Every query strategy by name. Those from outside have the same rights."""

from al_bench.acquisition.strategies.bayesian import bald, batch_bald
from al_bench.acquisition.strategies.brackets import gold_loss
from al_bench.acquisition.strategies.contrastive import cal
from al_bench.acquisition.strategies.distance import ddu, mahalanobis
from al_bench.acquisition.strategies.diversity import alps, coreset, coreset_pretrained, embedding_kmeans
from al_bench.acquisition.strategies.fisher import bait
from al_bench.acquisition.strategies.gradients import badge, egl
from al_bench.acquisition.strategies.informative import cluster_margin, information_density
from al_bench.acquisition.strategies.protocol import Strategy, by_score
from al_bench.acquisition.strategies.uncertainty import breaking_ties, entropy, least_confidence, mnlp, uniform
from al_bench.plugins import Registry

STRATEGIES = Registry(
    "strategy",
    "strategy",
    Strategy.of,
    {
        "random": by_score(uniform, needs=(), summary="uniform draws; fits no acquisition model"),
        "least_confidence": by_score(
            least_confidence, summary="1 - probability of the likeliest label", source="Lewis and Gale 1994"
        ),
        "entropy": by_score(entropy, summary="entropy of the label distribution", source="Shannon 1948"),
        "breaking_ties": by_score(
            breaking_ties,
            summary="1 - gap between the two likeliest labels (margin)",
            source="Scheffer et al. 2001; Luo et al. 2005",
        ),
        "mnlp": by_score(
            mnlp, tasks=("tagging",), summary="length-normalised log-probability of the tags", source="Shen et al. 2018"
        ),
        "mahalanobis": mahalanobis,
        "ddu": ddu,
        "bald": bald,
        "batch_bald": batch_bald,
        "egl": egl,
        "badge": badge,
        "bait": bait,
        "cal": cal,
        "gold_loss": gold_loss,
        "coreset": coreset,
        "coreset_pretrained": coreset_pretrained,
        "embedding_kmeans": embedding_kmeans,
        "alps": alps,
        "cluster_margin": cluster_margin,
        "information_density": information_density,
    },
)
