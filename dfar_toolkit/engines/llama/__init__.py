"""Layers of a small Llama written out, forth and back: values and gradients at many points between two inputs."""
