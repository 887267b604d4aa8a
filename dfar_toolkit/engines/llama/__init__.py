"""Layers of a small Llama written out, forth and back: values and gradients of inputs, and of points between two."""
