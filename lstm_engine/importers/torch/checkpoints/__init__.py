"""Torch files of every kind as tensors by name and records of classes: read without torch, nothing in them run."""
