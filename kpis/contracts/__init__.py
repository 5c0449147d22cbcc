"""The catalog for other tools: what records, rejects and results look like, in formats that such tools read.

``select`` chooses the feeds and KPIs. ``json_schema``, ``odcs``, ``arrow`` and ``openmetrics`` describe them, each in
its format. All of it comes from the catalog and the lake's tables, so that nothing is described twice.
"""
