"""EMAFusion."""
