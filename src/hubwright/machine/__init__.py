"""The only room whose code touches the operating system: files, processes, ports, accounts, limits."""
