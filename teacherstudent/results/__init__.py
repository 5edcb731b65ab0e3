"""Results: labelled datasets, their files, their comparison and their pictures."""
