"""The read-only API over the results, the summaries and the ledger."""
