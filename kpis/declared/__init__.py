"""The tables of declared KPIs: an app of their own, whose migrations are beside the catalog file."""
