"""The peers: what their own users would write for the same figures; ``answer`` says what they are told."""
