"""`python -m teacherstudent`."""

from teacherstudent.cli import main

if __name__ == "__main__":
    main()
