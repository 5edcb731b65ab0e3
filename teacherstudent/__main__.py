"""`python -m teacherstudent`."""

from teacherstudent.command.cli import main

if __name__ == "__main__":
    main()
