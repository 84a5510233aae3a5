"""How the daemon is seen from outside: metrics, systemd, heartbeats, logs."""
