"""The console: pages that show what happens on the network, whether it is normal, and the quality of the data."""
