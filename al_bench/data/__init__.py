"""From a dataset's config to a `Corpus`, and from predictions to metrics."""
