"""Raw arrays in `.npz` files, which a spec turns into a graph."""
