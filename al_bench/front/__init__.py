"""What a person types and sees: commands, Hydra's job, messages, progress, sweeps."""
