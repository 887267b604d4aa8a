"""Answers that depend on what they should not: position, wording, length, who was asked."""
