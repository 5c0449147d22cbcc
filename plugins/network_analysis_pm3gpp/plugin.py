"""What this plug-in adds."""

from kpis.plugins.plugin import Plugin

PLUGIN = Plugin(
    name="pm3gpp",
    description="Performance measurements of 3GPP network elements",
    hooks=1,
    formats={"pm_xml": "network_analysis_pm3gpp.measurements:FORMAT"},
)
