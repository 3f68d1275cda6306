"""The fast part under the transformer: sources of weights, encoded arrays, batches, training, inference."""
