"""What a study came to, for people: tables, advice, and one document for machines."""
