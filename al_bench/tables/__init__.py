"""`al-bench tables`: a YAML spec -> cells -> Markdown, LaTeX, CSV."""
