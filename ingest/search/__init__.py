"""Looking for commits: what is asked for, as Elasticsearch is asked, and how the answer is shown."""
