"""The peers' plans for antenna messages, coverage logs and call records; ``figures`` has their arguments.

IP flows are in ``benchmarks.peers``, which can also check every row.
"""
