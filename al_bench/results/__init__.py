"""What the ledgers say: one tidy frame, paired statistics, tables, figures, a report."""
