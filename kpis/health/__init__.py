"""The state of the installation for probes (`/healthz`), Prometheus (`/metrics`) and people (`manage.py doctor`)."""
