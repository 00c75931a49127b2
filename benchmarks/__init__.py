"""The measured claims of the README, and the rival they are measured against."""
