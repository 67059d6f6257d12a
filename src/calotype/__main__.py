"""`python -m calotype` is `calotype`."""

from calotype.cli.main import main

if __name__ == "__main__":
    main()
