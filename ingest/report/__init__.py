"""The page with charts: what an index says of its repositories, in one HTML file."""
