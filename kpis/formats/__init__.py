"""How bytes become records and rejects: lines, grammars, file formats, and the judge of a single row."""
