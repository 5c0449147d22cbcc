"""The views of the pages and of the parts that they load."""
