"""Predicted distributions against the distribution of human votes."""
