"""The tables: the ledger of what was ingested, the results, and what people know besides."""

from kpis.models.applied import AppliedEntry
from kpis.models.lake import DueCompaction, LakeBinding, LakeFile, LostFile
from kpis.models.ledger import (
    Batch,
    BatchInterval,
    DueReference,
    DueRollup,
    KPISet,
    Reject,
    Run,
    StreamPosition,
    Watermark,
)
from kpis.models.live import LiveCount, LiveFeed, StreamConsumer
from kpis.models.reference import QuotaChange, Reference, ReferenceVersion, Region, Subscriber
from kpis.models.result_models import KPIResult
from kpis.models.results import (
    AntennaTrafficVolume,
    AppTrafficVolume,
    CellUniqueUsers,
    CountyCallVolume,
    CoverageGridSignal,
    IntervalSummary,
    OperatorCallVolume,
    OperatorGPSPrecision,
    OperatorSignal,
    PostalCodeStatus,
    ResultPruning,
    ServiceTrafficVolume,
    UserQuotaExceeded,
    UserTrafficVolume,
)

__all__ = [
    "AntennaTrafficVolume",
    "AppTrafficVolume",
    "AppliedEntry",
    "Batch",
    "BatchInterval",
    "CellUniqueUsers",
    "CountyCallVolume",
    "CoverageGridSignal",
    "DueCompaction",
    "DueReference",
    "DueRollup",
    "IntervalSummary",
    "KPIResult",
    "KPISet",
    "LakeBinding",
    "LakeFile",
    "LiveCount",
    "LiveFeed",
    "LostFile",
    "OperatorCallVolume",
    "OperatorGPSPrecision",
    "OperatorSignal",
    "PostalCodeStatus",
    "QuotaChange",
    "Reference",
    "ReferenceVersion",
    "Region",
    "Reject",
    "ResultPruning",
    "Run",
    "ServiceTrafficVolume",
    "StreamConsumer",
    "StreamPosition",
    "Subscriber",
    "UserQuotaExceeded",
    "UserTrafficVolume",
    "Watermark",
]
