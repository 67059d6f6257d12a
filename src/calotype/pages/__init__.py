"""HTML pages for people, each one file that needs nothing else: their shell, style and charts."""
