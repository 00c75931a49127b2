"""The sending side: puts images on the requests topic, follows the results, looks after what failed."""
