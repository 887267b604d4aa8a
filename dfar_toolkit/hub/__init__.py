"""Publish to the Hugging Face Hub in one verified commit, load back, and rehearse both without a network."""
