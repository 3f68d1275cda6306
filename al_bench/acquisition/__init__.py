"""The active learning loop and its parts: pool, subsampling, strategies, selection."""
