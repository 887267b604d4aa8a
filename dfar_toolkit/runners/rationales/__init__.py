"""Rationales of a model: which words of an item they name, and what happens without these words."""
