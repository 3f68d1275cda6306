"""The typed schema of a run, the rules of its values, and the identity of runs, trajectories and fits."""
