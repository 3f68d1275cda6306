"""`al-bench plan`: what a command line will train, what of it is on disk, and how long the rest may take."""
