"""What every component promises, checked on synthetic data in seconds: by `al-bench check`, and by our own tests."""
