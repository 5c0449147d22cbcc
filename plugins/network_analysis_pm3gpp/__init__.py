"""Performance measurements of 3GPP network elements, from files that follow TS 32.435."""
