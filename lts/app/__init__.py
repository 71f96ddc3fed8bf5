"""The commands: configuration in, runs out. The only package that knows Hydra."""
