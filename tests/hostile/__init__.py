"""What somebody might write to the topic to take the service down, by name, each with what it must end in."""
