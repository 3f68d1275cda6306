"""The user's side: commands, Hydra's job, messages, progress, sweeps."""
