"""The tables: the ledger of what was taken in, and the results."""

from kpis.models.ledger import Batch, BatchInterval, DueRollup, Reject, Run, Watermark
from kpis.models.results import CellUniqueUsers, IntervalSummary, KPIResult, ServiceTrafficVolume

__all__ = [
    "Batch",
    "BatchInterval",
    "CellUniqueUsers",
    "DueRollup",
    "IntervalSummary",
    "KPIResult",
    "Reject",
    "Run",
    "ServiceTrafficVolume",
    "Watermark",
]
