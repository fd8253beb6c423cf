"""Many runs of one comparison: what they are, where they go, who runs them, what became of each."""
