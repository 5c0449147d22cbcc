"""Queries that API, console and admin share: filters, rows, pages, anomalies, access and exports."""
