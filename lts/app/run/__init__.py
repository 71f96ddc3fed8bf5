"""What every run has: a folder of its own, a record, an end, and a way to go on."""
