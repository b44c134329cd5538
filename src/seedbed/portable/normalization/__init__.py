"""Layer, group, batch, root mean square and weight norm, forward and backward."""

from seedbed.portable.normalization import batch, group, layer, rms, weight

__all__ = ["batch", "group", "layer", "rms", "weight"]
