"""A linear-chain conditional random field (Lafferty et al. 2001) over sentences of any lengths, all at once.

A path of tags y scores start[y_1] + sum_t transitions[y_(t-1), y_t] + sum_t emissions[t, y_t] + end[y_T], and has
the probability exp(score) / Z, where Z is the sum over all paths.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


class Crf(nn.Module):
    """Emissions are (words, tags), one sentence after another; `lengths` has the words of each, at least one."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.start, self.end = nn.Parameter(torch.zeros(tags)), nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))  # from the row's tag to the column's

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: np.ndarray) -> Tensor:
        """(sentences,) log-probabilities of the paths `tags`, (words,); by the forward algorithm."""
        grid, there = _padded(emissions, lengths)
        path, _ = _padded(tags, lengths)
        last = path[torch.arange(len(path)), there.sum(dim=1) - 1]
        emitted = (grid.gather(2, path.unsqueeze(2)).squeeze(2) * there).sum(dim=1)
        moved = (self.transitions[path[:, :-1], path[:, 1:]] * there[:, 1:]).sum(dim=1)
        score = self.start[path[:, 0]] + emitted + moved + self.end[last]
        sums = self.start + grid[:, 0]
        for t in range(1, grid.shape[1]):
            step = torch.logsumexp(sums.unsqueeze(2) + self.transitions, dim=1) + grid[:, t]
            sums = torch.where(there[:, t, None], step, sums)
        return score - torch.logsumexp(sums + self.end, dim=1)

    def log_marginals(self, emissions: Tensor, lengths: np.ndarray) -> Tensor:
        """(words, tags) log-probabilities of each word's tags; by the forward and the backward algorithm.

        Each word's sums are normalised on the way, so that those of long sentences do not round to nothing.
        """
        grid, there = _padded(emissions, lengths)
        before, after = [self.start + grid[:, 0]], [self.end.expand(len(grid), -1)]
        for t in range(1, grid.shape[1]):
            step = torch.logsumexp(before[-1].log_softmax(1).unsqueeze(2) + self.transitions, dim=1) + grid[:, t]
            before.append(step)  # past the end of a sentence nobody looks at it
        for t in range(grid.shape[1] - 1, 0, -1):
            step = torch.logsumexp(self.transitions + (grid[:, t] + after[-1]).log_softmax(1).unsqueeze(1), dim=2)
            after.append(torch.where(there[:, t, None], step, self.end))
        return (torch.stack(before, dim=1) + torch.stack(after[::-1], dim=1))[there].log_softmax(dim=1)

    def best_paths(self, emissions: Tensor, lengths: np.ndarray) -> Tensor:
        """(words,) tags of each sentence's most probable path; by Viterbi's algorithm."""
        grid, there = _padded(emissions, lengths)
        scores, origins = self.start + grid[:, 0], []
        stay = torch.arange(grid.shape[2], device=grid.device)
        for t in range(1, grid.shape[1]):
            best, origin = (scores.unsqueeze(2) + self.transitions).max(dim=1)
            scores = torch.where(there[:, t, None], best + grid[:, t], scores)
            origins.append(torch.where(there[:, t, None], origin, stay))
        path = [(scores + self.end).argmax(dim=1, keepdim=True)]
        for origin in reversed(origins):
            path.append(origin.gather(1, path[-1]))
        return torch.cat(path[::-1], dim=1)[there]


def _padded(rows: Tensor, lengths: np.ndarray) -> tuple[Tensor, Tensor]:
    """((sentences, longest, ...) with zeros at the end, bool (sentences, longest) where a word is)."""
    grid = pad_sequence(list(torch.split(rows, lengths.tolist())), batch_first=True)
    sizes = torch.from_numpy(lengths).to(rows.device)
    return grid, torch.arange(grid.shape[1], device=rows.device) < sizes.unsqueeze(1)
