"""The worker processes, seen from the service: started, given batches, and watched."""
