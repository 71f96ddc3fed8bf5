"""What every run has: its folder, a record, its end, and resuming."""
