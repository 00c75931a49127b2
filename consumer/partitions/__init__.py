"""One lane for each assigned partition: from fetch to commit."""
