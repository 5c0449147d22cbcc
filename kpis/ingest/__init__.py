"""Long-running work and its record: consumers, watches, repairs, runs and their log events."""
