"""From a sample file to a feed: a catalog entry that reads it, with KPIs to begin with.

``describe`` in ``kpis.describe.entry`` is the way in. ``dialects`` finds how the file is written, ``samples`` reads its
first rows, ``guesses`` what its columns hold, ``suggestions`` which KPIs they may give, ``entry`` writes the TOML, and
``trial`` reads the file by it.
"""
