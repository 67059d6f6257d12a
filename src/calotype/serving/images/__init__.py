"""The service of an image model: every form in which people send images, one queue, no waiting."""
