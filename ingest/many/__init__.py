"""Many repositories: a list of them, loaded several at a time, each in its turn or again."""
