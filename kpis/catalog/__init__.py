"""The catalog: intervals, feeds, measures and KPIs as plain data. Imports no other package of ours."""
