"""Many runs: their folder, their jobs, and what came of them."""
