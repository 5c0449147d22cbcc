"""Reference tables: subscribers with their quotas, regions, and the references of catalog files."""
