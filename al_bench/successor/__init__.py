"""The expensive model, trained on what the cheap one had labelled."""
