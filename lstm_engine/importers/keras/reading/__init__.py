"""What a Keras file or live model holds: its configuration as a tree of layers, and the arrays by their paths."""
