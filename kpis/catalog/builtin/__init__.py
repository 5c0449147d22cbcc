"""The built-in feeds, each with its KPIs in one module."""
