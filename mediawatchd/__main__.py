"""`python -m mediawatchd`: the same as the command `mediawatchd`."""

from mediawatchd.cli.daemon import main

main()
