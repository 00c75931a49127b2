"""Questions to the cluster: who answers, what is there, what is allowed."""
