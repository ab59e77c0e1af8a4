"""`keadm mqtt`: publish a message at a broker, and wait for an answer to it."""
