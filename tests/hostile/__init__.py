"""What a sender might write to the topic to stop the service: cases by name, each with the result that it must have."""
