"""The consumer group: the consumer that is a member of it, and whether the group still counts us as one."""
