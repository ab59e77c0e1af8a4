"""The wire between cloud and edge, without any I/O: what a message is and how it is written."""
