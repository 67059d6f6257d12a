"""Images: where they lie, how they are read, split and transformed."""
