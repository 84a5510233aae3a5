"""What may be asked of a running daemon, and over which sockets."""
