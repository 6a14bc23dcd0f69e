"""What both sides share of the world: signals, credentials, proxies, certificates."""
