"""python -m minitf: the command line."""
from minitf.cli import main

main()
