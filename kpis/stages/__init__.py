"""The stages of a run, one module each, in the order that ``kpis.pipeline`` says. None of it imports Django."""
