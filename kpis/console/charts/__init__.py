"""The charts: each is defined once, as data, for pages, pictures and ``manage.py plot``."""
