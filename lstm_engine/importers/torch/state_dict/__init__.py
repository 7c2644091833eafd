"""Weights alone: the layers that names and shapes show, and the chains that can be made of them."""
