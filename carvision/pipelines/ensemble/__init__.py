"""registered ensemble -> submission.csv."""
