"""The scan and the reduction to five minutes alone: this project's and the fastest peer's, each timed from within."""
