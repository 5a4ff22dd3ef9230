"""Evaluation: recorded logs, simulation, replay, metrics, baselines and reports."""
