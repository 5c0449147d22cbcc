"""Catalog files: feeds and KPIs that are declared in TOML.

``load`` reads files into a ``Catalog`` of the same ``Feed`` and ``KPI`` objects that built-in ones are; ``registry``
takes it. ``entries`` describes the keys of a file, from which the JSON Schema is made; ``source`` finds the lines of
keys for messages; ``convert`` checks each value's type; ``build`` makes feeds and KPIs of the entries.
"""
