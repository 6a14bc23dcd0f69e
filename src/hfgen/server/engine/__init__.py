"""Generation on the local server: jobs in, tokens out."""
