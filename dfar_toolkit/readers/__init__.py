"""Outputs files of other tools, read as rows of one shape and matched with our items."""
