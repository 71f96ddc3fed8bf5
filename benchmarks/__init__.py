"""Speed and memory of lts beside what a user would pick instead: `make bench`."""
