"""The tables: the ledger of what was taken in, the results, and what people know besides."""

from kpis.models.ledger import Batch, BatchInterval, DueCompaction, DueRollup, Reject, Run, StreamOffset, Watermark
from kpis.models.live import LiveCount, LiveFeed, StreamConsumer
from kpis.models.reference import QuotaChange, Region, Subscriber
from kpis.models.results import (
    AntennaTrafficVolume,
    AppTrafficVolume,
    CellUniqueUsers,
    CountyCallVolume,
    CoverageGridSignal,
    IntervalSummary,
    KPIResult,
    OperatorCallVolume,
    OperatorGPSPrecision,
    OperatorSignal,
    PostalCodeStatus,
    ServiceTrafficVolume,
    UserQuotaExceeded,
    UserTrafficVolume,
)

__all__ = [
    "AntennaTrafficVolume",
    "AppTrafficVolume",
    "Batch",
    "BatchInterval",
    "CellUniqueUsers",
    "CountyCallVolume",
    "CoverageGridSignal",
    "DueCompaction",
    "DueRollup",
    "IntervalSummary",
    "KPIResult",
    "LiveCount",
    "LiveFeed",
    "OperatorCallVolume",
    "OperatorGPSPrecision",
    "OperatorSignal",
    "PostalCodeStatus",
    "QuotaChange",
    "Region",
    "Reject",
    "Run",
    "ServiceTrafficVolume",
    "StreamConsumer",
    "StreamOffset",
    "Subscriber",
    "UserQuotaExceeded",
    "UserTrafficVolume",
    "Watermark",
]
