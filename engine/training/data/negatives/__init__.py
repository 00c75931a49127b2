"""Pictures that show no digit, or more than one: what the service must not read as a digit."""
