"""Whole paths through the toolkit, one file each."""
