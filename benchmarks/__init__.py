"""Speed, measured beside the libraries people use: ``python -m benchmarks --help``."""
