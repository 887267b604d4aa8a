"""The metrics in the shapes that other evaluation tools call."""
