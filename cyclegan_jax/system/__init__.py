"""The process, its files, its command line and the workdir."""
