"""The live view: counts of the last seconds, sent to every open page."""
