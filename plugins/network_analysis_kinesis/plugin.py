"""What this plug-in adds."""

from kpis.plugins.plugin import Plugin

PLUGIN = Plugin(
    name="kinesis",
    description="Streams of Amazon Kinesis",
    hooks=1,
    sources={"kinesis": "network_analysis_kinesis.source:KINESIS"},
)
