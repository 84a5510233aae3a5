"""The two commands: mediawatchd and mediawatchctl."""
