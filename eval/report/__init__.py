"""The report page: results read from their files, segments to listen to, and the page made of them."""
