"""The stages of a run, one module each; ``kpis.pipeline`` tells their order."""
