"""The run on disk: what was decided, beside it what it cost; and its copy in MLflow."""
