"""How workers get onto nodes: launchers know commands and sizes, nothing of targets or sockets."""
