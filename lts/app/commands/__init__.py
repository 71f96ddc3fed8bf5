"""One file a command, and what only they share."""
