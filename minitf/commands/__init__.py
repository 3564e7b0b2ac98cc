"""One file a command."""
from minitf.commands.shell import Commands
