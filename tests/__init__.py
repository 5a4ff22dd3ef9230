"""Tests of EMAFusion."""
