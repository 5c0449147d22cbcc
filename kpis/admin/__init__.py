"""The admin: every table can be browsed and searched; subscribers can be edited, all others are read-only."""

from django.contrib import admin

from kpis.admin import accounts, lake, ledger, reference, results, streams

__all__ = ["accounts", "lake", "ledger", "reference", "results", "streams"]

admin.site.site_header = admin.site.site_title = "Network Analysis"
admin.site.index_title = "Tables"
