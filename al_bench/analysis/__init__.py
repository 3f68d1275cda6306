"""What the ledgers say: runs, arms, measures, contrasts, statistics."""
