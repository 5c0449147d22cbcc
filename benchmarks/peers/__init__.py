"""The peers: what their own users would write for the same figures; ``answer`` has their arguments."""
