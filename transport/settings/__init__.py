"""How to reach the brokers: settings, where they come from, and the options of commands."""
