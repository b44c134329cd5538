"""Sums, and what is made of them: means, norms, softmax, running sums, accumulation into rows."""

from seedbed.portable.sums import distances, embeddings, norms, reductions, scans, scatter, softmax

__all__ = ["distances", "embeddings", "norms", "reductions", "scans", "scatter", "softmax"]
