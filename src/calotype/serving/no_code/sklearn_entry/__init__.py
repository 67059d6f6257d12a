"""The source folder of the built-in entry script; a worker puts it on its search path."""
