"""A query strategy and a candidate pool for al-bench."""
