"""The engine: reduces a batch's rows to partials, and merges partials to results."""
