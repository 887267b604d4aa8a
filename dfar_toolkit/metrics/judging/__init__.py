"""Judges of reasons, people and models: plans, quality, prediction-powered rates, pairwise ratings."""
