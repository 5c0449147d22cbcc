"""Formats: how bytes become records and rejects. Lines, grammars, file formats, and the judge of a single row."""
