"""PyTorch checkpoints and live modules, read without torch."""
