"""The database: the ledger, the results, and the lock by which one process at a time writes them.

``ledger.DatabaseLedger`` is what runs and consumers work with; ``batches``, ``lake_files``, ``watermarks``, ``rollups``
and ``streams`` have its methods, each for one group of tables, and ``results`` writes the result rows. ``locks`` has
the lock, ``runs`` the record of runs, ``errors`` what can go wrong. ``dialects`` knows how the databases differ. Import
from these modules: a page that asks a dialect must not load what ingests.
"""
