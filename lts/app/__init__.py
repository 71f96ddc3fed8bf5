"""The commands: configuration in, runs out. The only floor that knows Hydra."""
