"""Plug-ins: packages that add to the system without being part of it.

``plugin`` describes what a plug-in can add, ``registry`` finds and loads plug-ins and has those that are loaded.
docs/reference/plugins.md is the reference for authors.
"""
