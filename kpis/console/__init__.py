"""The pages: what happened on the network, whether it is normal, and whether it can be trusted."""
