"""SQLite files as backend: nothing to install, shared by the processes of one machine."""
