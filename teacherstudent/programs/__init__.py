"""How programs are compiled, and kept in a folder for the next process."""
