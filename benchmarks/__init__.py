"""What Seedbed's claims of speed are made from, against its peers: ``python -m benchmarks``. See docs/benchmarks.md."""
