"""What a run leaves in the connection once it has rolled up."""

from __future__ import annotations

from kpis import pipeline
from kpis.sources.directory import files_named
from kpis.stages.memory_ledger import MemoryLedger

DEVICE = "00000000-0000-4000-8000-000000000001"
MESSAGE = f'{{"timestamp":1626566400,"id":"{DEVICE}","antenna_id":"{DEVICE}","bytes":7,"app":"SKYPE"}}\n'


def test_a_run_leaves_no_table_behind(tmp_path):
    path = tmp_path / "antenna_data.1.jsonl"
    path.write_text(MESSAGE)
    ledger, options = MemoryLedger(), pipeline.Options(roll_up_open=True)
    with pipeline.engine(tmp_path / "lake") as engine:
        planned = pipeline.plan(files_named([path]), ledger, options)
        events = list(pipeline.run(planned, ledger, engine, options))
        assert [type(event).__name__ for event in events] == ["Ingested", "RolledUp"]
        assert engine.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == []
