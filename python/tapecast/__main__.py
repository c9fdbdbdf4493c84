"""`python -m tapecast`."""

from tapecast.cli import main

if __name__ == "__main__":
    main()
