"""The HTTP front door: requests become records of the requests topic, and are answered from the predictions topic."""
