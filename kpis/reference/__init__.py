"""Reference tables: subscribers with their quotas, and regions."""
