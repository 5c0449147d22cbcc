"""The benchmarks: this project and its peers on the same files, in one run."""
