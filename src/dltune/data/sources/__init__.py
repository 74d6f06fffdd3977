"""One kind of source a file; each gives a `RawData`: columns or an array, as they were found."""
