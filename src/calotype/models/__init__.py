"""Image models: architectures, the model folder, import, export and optimisation."""
