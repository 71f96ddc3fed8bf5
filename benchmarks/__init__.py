"""Speed and memory of lts beside what a user would pick instead: `make bench`."""

from lts.app.run.memory import return_freed_memory, use_large_pages

# As each command does, before torch is imported.
use_large_pages()
return_freed_memory()
