"""Run minitf from a checkout: python cli.py learn --k 2 --T 64"""
from minitf.cli import main

if __name__ == "__main__":
    main()
