"""The sending side: sends images, follows their results, and handles what failed."""
