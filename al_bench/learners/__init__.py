"""Models that learn from labelled examples and say how sure they are; torch is imported from here on only."""
