"""What the API, the console and the admin ask: filters, rows, pages, anomalies, access and exports."""
