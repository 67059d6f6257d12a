"""The command line: one file per noun, nothing heavy imported before it is used."""
