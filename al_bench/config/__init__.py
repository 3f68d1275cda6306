"""What a run is: the typed schema, the rules between its fields, what makes two runs the same."""
