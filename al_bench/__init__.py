"""al-bench: simulate active learning for text, and measure what it costs and what it is worth."""

__version__ = "0.1.0"
