"""What this plug-in adds."""

from kpis.plugins.plugin import Plugin

PLUGIN = Plugin(
    name="spark",
    description="Apache Spark, whose executors read files and topics and merge large intervals",
    hooks=1,
    settings="network_analysis_spark.settings",
    engines={"spark": "network_analysis_spark.choice:SPARK"},
)
