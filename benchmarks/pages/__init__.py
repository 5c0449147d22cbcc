"""A page of the API, and the same SQL and ``orjson.dumps`` alone."""
