"""The files and messages that a release ingested whose database and lake later releases go on with."""

from __future__ import annotations

import gzip

from tests.twin import Call, Flow, Log, Message, file_text

START = 1626566400  # 2021-07-18T00:00:00Z


def _flows(first: int, intervals: int) -> list[Flow]:
    return [
        Flow(START + (first + i) * 300, 1 + (first + i) % 3 + user, i, 7 + user, (i + user) % 4, 5 + user % 2)
        for i in range(intervals)
        for user in range(3)
    ]


# An hour of four files, and the first interval of the next.
FILES = {
    "ipflow_data.0.csv": _flows(0, 3),
    "ipflow_data.1.csv.gz": _flows(3, 3),
    "ipflow_data.2.csv": _flows(6, 3),
    "ipflow_data.3.csv": _flows(9, 3),
    "ipflow_data.4.csv": _flows(12, 1),
    "antenna_data.0.jsonl": [Message(START + 200 * i, 1 + i % 3, i % 2, 10 + i, "xé"[i % 2]) for i in range(21)],
    "coverage_data.2021-07-18.0.csv": [
        Log(
            START + 290 * i,
            operator=f"Op {i % 2}",
            signal=str(10 + i),
            precision=str(5 + i),
            status=i % 4,
            postal_code="25001",
        )
        for i in range(14)
    ],
    "cdr_data.0.csv": [Call(START + 130 * i, f"County {i % 3}", "Sprint", "CALL") for i in range(30)],
}
FAILED = {"ipflow_data.bad.csv": b"no,header\n1,2\n"}
# Messages of the topic calls, partition 0, from offset 0 on.
MESSAGES = [Message(START + 3700 + i, 5, 4, 3, "t") for i in range(8)]


def contents() -> dict[str, bytes]:
    """The files as they lay in the data folder."""
    found = {name: file_text(records).encode() for name, records in FILES.items()}
    packed = {name: gzip.compress(text, mtime=0) if name.endswith(".gz") else text for name, text in found.items()}
    return packed | FAILED
