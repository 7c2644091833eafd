"""What the layers of a Keras model mean: a function for each kind adds the nodes that compute it."""
