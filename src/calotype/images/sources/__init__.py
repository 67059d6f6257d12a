"""Places where images lie: folders, archives, single files, other programs' lists of images."""
