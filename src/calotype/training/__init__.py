"""Training: the loop, its data, augmentation and schedule. Needs the extra `train`."""
