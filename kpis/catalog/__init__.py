"""What is measured, as plain data: intervals, feeds, measures and KPIs. Imports nothing else of ours."""
