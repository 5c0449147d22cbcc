"""The pages and the parts that they load."""
