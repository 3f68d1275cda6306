"""Reads a dataset into a `Corpus`, and computes metrics from predictions."""
