"""From the command line and YAML to settings and objects."""
