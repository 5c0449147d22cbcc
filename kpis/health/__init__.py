"""How the installation is: for probes (`/healthz`), for Prometheus (`/metrics`) and for people (`manage.py doctor`)."""
